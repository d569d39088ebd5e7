"""The servable versions that this worker serves, and which of them it can offer now."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from services.worker.agents.agents import Agents
from services.worker.batching.policy import BatchingPolicy, policy_of
from services.worker.batching.queue import BatchQueue
from services.worker.graph.models import ModelStages
from services.worker.graph.plan import MethodPlan, plan_of
from services.worker.metrics import Metrics
from services.worker.servable.fits import check_fits
from services.worker.servable.loader import Loaded
from shared.errors import LoadFailed, NotServed, Unavailable
from shared.membership import Assignment, Offer, Offers
from shared.servable import Servable, ServableVersion, request_text
from shared.tasks import TaskScope
from shared.wire.interface import Wire

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class Serving:
    """One servable version: its declaration, its queue, and whether it can be called."""

    loaded: Loaded
    queue: BatchQueue
    models: ModelStages
    plans: Mapping[str, MethodPlan]
    offered: frozenset[str]
    """The methods that clients may call; the others are for pipelines."""
    priority_levels: int
    """The most that any of its models has."""
    ready: bool = False
    was_ready: bool = False
    retiring: bool = False
    misfit: str = ""
    """Why it can never be ready; empty when nothing is wrong."""
    outstanding: int = 0
    unused: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def what(self) -> ServableVersion:
        """Name and version."""
        return self.loaded.what

    @property
    def servable(self) -> Servable:
        """What its configuration declares."""
        return self.loaded.servable

    def count(self, by: int) -> None:
        """Requests that use it come (+1) and go (-1)."""
        self.outstanding += by
        if not self.outstanding:
            self.unused.set()
        elif self.outstanding == by:
            self.unused.clear()


class Servings:
    """Every version served, and the agents that hold them; tells the truth about what is ready.

    ``changed`` hears that offers changed, ``reassigned`` that agents must hold
    something else, ``unfit`` why a version can never be served.
    """

    def __init__(
        self,
        wire: Wire,
        scope: TaskScope,
        metrics: Metrics,
        *,
        min_agents: int,
        agents_at_start: int,
        max_calls: int,
        batching: BatchingPolicy,
        changed: Callable[[], None],
        reassigned: Callable[[], None],
        unfit: Callable[[LoadFailed], None],
    ) -> None:
        self.agents = Agents(
            wire,
            scope,
            metrics,
            assignment=self.assignment,
            idle=self.idle,
            changed=self.refresh,
        )
        self._scope = scope
        self._metrics = metrics
        self._min_agents = min_agents
        self._agents_at_start = max(agents_at_start, min_agents)
        self._max_calls = max_calls
        self._batching = batching
        self._changed = changed
        self._reassigned = reassigned
        self._unfit = unfit
        self._servings: dict[ServableVersion, Serving] = {}
        self.draining = False

    def add(self, loaded: Loaded) -> Serving:
        """Serve one more version, as soon as agents hold it."""
        what, models = loaded.what, loaded.servable.models
        policies = {key: policy_of(model, self._batching) for key, model in models.items()}
        queue = BatchQueue(
            what,
            models.values(),
            self.agents,
            self._scope,
            self._metrics,
            policies=policies,
        )
        stages = ModelStages(models, lambda key: self.agents.signatures(what).get(key), queue)
        plans = {name: plan_of(method) for name, method in loaded.servable.methods.items()}
        levels = (policy.priority_levels for policy in policies.values())
        most_levels = max(levels, default=self._batching.priority_levels)
        serving = self._servings[what] = Serving(
            loaded, queue, stages, plans, frozenset(loaded.servable.offered), most_levels
        )
        serving.count(0)
        self._reassigned()
        self.refresh()
        return serving

    async def retire(self, serving: Serving) -> None:
        """Offer a version no more, let its requests finish, and let agents drop it."""
        serving.retiring = True
        self._changed()
        await serving.unused.wait()
        del self._servings[serving.what]
        self.agents.forget(serving.what)
        self._reassigned()

    def drain(self) -> None:
        """Ask masters for nothing new."""
        self.draining = True
        self._changed()

    def find(self, what: ServableVersion) -> Serving | None:
        """A version that is served here."""
        return self._servings.get(what)

    def resolve(self, servable: str, method: str, version: int) -> int:
        """The version that a request for ``version`` gets; 0 asks for the newest that is ready.

        Raises NotServed for a servable, or a version of it, that is not served here.
        """
        here = [what.version for what in self._servings if what.servable == servable]
        if not here or (version and version not in here):
            asked = request_text(servable, method, version)
            raise NotServed(f"{asked}, servable is not available")
        ready = [each for each in here if self._servings[ServableVersion(servable, each)].ready]
        return version or max(ready, default=max(here))

    def versions(self) -> list[ServableVersion]:
        """Every version served here."""
        return list(self._servings)

    def superseded(self) -> list[Serving]:
        """Versions of which a newer one is ready."""
        ready = [serving.what for serving in self._servings.values() if serving.ready]
        return [
            serving
            for serving in self._servings.values()
            if any(serving.what.servable == w.servable and serving.what < w for w in ready)
        ]

    def idle(self, what: ServableVersion) -> None:
        """An agent may be idle for ``what``."""
        serving = self._servings.get(what)
        if serving is not None:
            serving.queue.pump()

    def refresh(self) -> None:
        """Agents changed: see anew which versions enough of them hold."""
        news = False
        for serving in self._servings.values():
            ready = self._is_ready(serving)
            news = news or ready is not serving.ready
            serving.ready = ready
            serving.was_ready = serving.was_ready or ready
            if not self.agents:
                serving.queue.give_up(Unavailable(f"{serving.what}: its last agent left"))
            serving.queue.pump()
        if news:
            self._changed()

    def _is_ready(self, serving: Serving) -> bool:
        what = serving.what
        holding = self.agents.holding(what)
        self._metrics.agents_holding.labels(what.servable, what.version).set(holding)
        if not serving.servable.models:
            return True
        needed = self._min_agents if serving.was_ready else self._agents_at_start
        if serving.misfit or holding < needed:
            return False
        try:
            check_fits(serving.servable, self.agents.signatures(what))
        except LoadFailed as failure:
            serving.misfit = failure.message
            log.error("not served", what=str(what), reason=failure.message)
            self._unfit(failure)
            return False
        return True

    def assignment(self) -> Assignment:
        """What every agent must hold."""
        assigned = (serving.loaded.assigned for serving in self._servings.values())
        return Assignment(tuple(each for each in assigned if each.models))

    def offers(self) -> Offers:
        """What masters may send here now."""
        offers = tuple(
            Offer(serving.what, serving.offered, self._max_calls)
            for serving in self._servings.values()
            if serving.ready and not serving.retiring
        )
        return Offers(offers, self.draining)

    def readiness(self) -> dict[str, bool]:
        """Whether each servable has a version that can be called now."""
        states: dict[str, bool] = {}
        for serving in self._servings.values():
            name = serving.what.servable
            states[name] = states.get(name, False) or (serving.ready and not self.draining)
        return states
