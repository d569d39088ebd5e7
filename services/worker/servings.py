"""The servable versions that this worker serves, and which of them it can offer now."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from services.worker.agents.agents import Agents
from services.worker.agents.progress import Progress
from services.worker.batching.policy import BatchingPolicy, policy_of
from services.worker.batching.queue import BatchQueue
from services.worker.gangs.formation import Formation
from services.worker.gangs.pool import GangPool
from services.worker.gangs.rules import GangRules
from services.worker.graph.models import ModelStages
from services.worker.graph.plan import plan_of
from services.worker.metrics import Metrics
from services.worker.servable.loader import Loaded
from services.worker.serving import Serving, language_of
from shared.errors import LoadFailed, NotServed, ServingError, Unavailable
from shared.membership import Assignment, Notice, Offers
from shared.repository import VersionState
from shared.servable import Distribution, ServableVersion, request_text
from shared.tasks import TaskScope
from shared.wire.interface import Wire

log = structlog.get_logger()

# Time for masters to hear that a version is offered no more: what they sent meanwhile is served.
_HEARD_SECONDS = 1.0
_VACATE_SECONDS = 10.0


class Servings:
    """Every version served, and the agents that hold them; tells the truth about what is ready.

    ``notify`` sends a notice to a member, ``expel`` ends a membership, ``changed`` hears that
    offers changed, ``unfit`` why a version that this worker started with can never be served.
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
        gangs: GangRules,
        notify: Callable[[str, Notice], None],
        expel: Callable[[str, ServingError], None],
        changed: Callable[[], None],
        unfit: Callable[[LoadFailed], None],
    ) -> None:
        self.agents = Agents(
            wire,
            scope,
            metrics,
            assignment=self.assignment,
            notify=notify,
            idle=self.idle,
            changed=self.refresh,
        )
        self.ranks: GangPool | None = None
        """The gangs of the distributed model that is served, if one is."""
        self._wire = wire
        self._scope = scope
        self._metrics = metrics
        self._min_agents = min_agents
        self._agents_at_start = max(agents_at_start, min_agents)
        self._max_calls = max_calls
        self._batching = batching
        self._changed = changed
        self._gangs = gangs
        self._notify = notify
        self._expel = expel
        self._unfit = unfit
        self._servings: dict[ServableVersion, Serving] = {}
        self._refreshed = asyncio.Event()
        """Set, and replaced, when agents have changed."""
        self.draining = False

    def add(self, loaded: Loaded, *, keeps_trying: bool = False) -> Serving:
        """Serve one more version, as soon as agents hold it.

        Raises LoadFailed for a distributed model beside another one.
        """
        what, models = loaded.what, loaded.servable.models
        holders: Agents | GangPool = self.agents
        if loaded.servable.distribution is not None:
            holders = self.ranks = self._open_gangs(loaded, loaded.servable.distribution)
        policies = {key: policy_of(model, self._batching) for key, model in models.items()}
        queue = BatchQueue(
            what,
            models.values(),
            holders,
            self._scope,
            self._metrics,
            policies=policies,
        )
        stages = ModelStages(models, lambda key: holders.signatures(what).get(key), queue)
        plans = {name: plan_of(method) for name, method in loaded.servable.methods.items()}
        levels = (policy.priority_levels for policy in policies.values())
        serving = self._servings[what] = Serving(
            loaded,
            holders,
            queue,
            stages,
            plans,
            max(levels, default=self._batching.priority_levels),
            language_of(loaded, self._scope, self._batching.handicaps),
            warm=not loaded.servable.has_functions,
            keeps_trying=keeps_trying,
        )
        serving.count(0)
        self.agents.reassign()
        self.refresh()
        return serving

    def _open_gangs(self, loaded: Loaded, distribution: Distribution) -> GangPool:
        if self.ranks is not None:
            raise LoadFailed(
                f"{loaded.what}: a worker serves one distributed model, because agents name the"
                " files of their ranks; start another worker for this one"
            )
        self._gangs.check(distribution)
        formation = Formation(
            self._wire,
            self._scope,
            self._metrics,
            loaded.assigned,
            distribution,
            self._gangs,
            notify=self._notify,
            expel=self._expel,
            changed=self.refresh,
            unfit=self._unfit,
        )
        return GangPool(formation, distribution, idle=self.idle)

    def warmed(self, serving: Serving) -> None:
        """Its functions can be called without delay."""
        serving.warm = True
        self.refresh()

    async def vacated(self, what: ServableVersion) -> None:
        """Wait until agents have let go of a version that was served before.

        What they still say of it would be taken for news of its next load. An agent that says
        nothing more is not waited for.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_VACATE_SECONDS):
                while any(agent.holding for agent in self.agents.standings(what)):
                    await self.refreshed()

    async def refreshed(self) -> None:
        """Wait until agents or gangs have changed."""
        await self._refreshed.wait()

    async def retire(self, serving: Serving) -> None:
        """Offer a version no more, let its requests finish, and let agents drop it."""
        serving.retiring = True
        self._changed()
        if serving.ready:
            await asyncio.sleep(_HEARD_SECONDS)
        serving.closed = True
        await serving.unused.wait()
        self.drop(serving)

    def drop(self, serving: Serving) -> None:
        """Let go at once of a version that has no requests."""
        del self._servings[serving.what]
        if serving.language is not None:
            serving.language.close()
        serving.holders.forget(serving.what)
        if serving.holders is self.ranks:
            self.ranks = None
        self._metrics.forget(serving.what)
        self.agents.reassign()
        self._changed()

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
        ready = [
            serving.what.version
            for serving in self.versions_of(servable)
            if serving.ready and not serving.retiring
        ]
        return version or max(ready, default=max(here))

    @property
    def language_models(self) -> list[Serving]:
        """The versions that continue texts, ready or not."""
        return [each for each in self._servings.values() if each.language is not None]

    def versions_of(self, servable: str) -> list[Serving]:
        """The versions of a servable that are served here, or on their way in or out."""
        return [each for each in self._servings.values() if each.what.servable == servable]

    def idle(self, what: ServableVersion) -> None:
        """An agent may be idle for ``what``."""
        serving = self._servings.get(what)
        if serving is not None:
            serving.queue.pump()

    def refresh(self) -> None:
        """Agents changed: see anew which versions enough of them hold."""
        self._refreshed.set()
        self._refreshed = asyncio.Event()
        news = False
        for serving in self._servings.values():
            ready = self._is_ready(serving)
            news = news or ready is not serving.ready
            serving.ready = ready
            serving.refresh_language()
            if not serving.holders:
                serving.queue.give_up(Unavailable(f"{serving.what}: {serving.holders.absence}"))
            serving.queue.pump()
        if news:
            self._changed()

    def _is_ready(self, serving: Serving) -> bool:
        what = serving.what
        holding = serving.holders.holding(what)
        self._metrics.agents_holding.labels(what.servable, what.version).set(holding)
        if not serving.warm:
            return False
        if not serving.servable.models:
            serving.advance(Progress(VersionState.READY, ""))
            return True
        if serving.progress.state is VersionState.READY:
            return holding >= self._min_agents and serving.is_continued
        if serving.settled.is_set():
            return False
        # What a worker starts with may be told to wait for more agents.
        needed = self._agents_at_start if serving.keeps_trying else self._min_agents
        progress = serving.progress_with(needed)
        if progress.state is VersionState.READY:
            try:
                serving.check_fits()
            except LoadFailed as failure:
                log.error("not served", what=str(what), reason=failure.message)
                serving.advance(Progress(VersionState.FAILED, failure.message))
                serving.settled.set()
                if serving.keeps_trying:
                    self._unfit(failure)
                return False
        serving.advance(progress)
        return progress.state is VersionState.READY

    def assignment(self) -> Assignment:
        """What every agent that offers no rank must hold."""
        assigned = (
            serving.loaded.assigned
            for serving in self._servings.values()
            if serving.holders is self.agents
        )
        return Assignment(tuple(each for each in assigned if each.models))

    def offers(self) -> Offers:
        """What masters may send here now."""
        offers = tuple(
            serving.offer(self._max_calls, serving.holders.device_type)
            for serving in self._servings.values()
            if serving.ready and not serving.retiring
        )
        return Offers(offers, self.draining)

    def readiness(self) -> dict[str, bool]:
        """Whether each servable has a version that can be called now."""
        states: dict[str, bool] = {}
        for serving in self._servings.values():
            name = serving.what.servable
            states[name] = states.get(name, False) or (
                serving.ready and not serving.retiring and not self.draining
            )
        return states
