"""The agents that are there: what each holds, and which of them is idle."""

import itertools
from collections.abc import Callable

from services.worker.agents.execution import EXECUTION_PATH
from services.worker.agents.progress import Standing
from services.worker.agents.step_line import StepLine
from services.worker.agents.taken import JoinedAgent, TakenAgent
from services.worker.metrics import Metrics
from shared.errors import AgentLost
from shared.membership import (
    Assignment,
    Hello,
    Holdings,
    ModelSignature,
    Notice,
    Report,
)
from shared.servable import ServableVersion
from shared.tasks import TaskScope
from shared.wire.interface import Wire
from shared.wire.link import Link


class Agents:
    """Observes who joins, reports and leaves; lends idle agents out.

    ``notify`` sends a notice to a member, ``idle`` hears that an agent may be idle for a
    version, ``changed`` that agents or what they hold changed.
    """

    def __init__(
        self,
        wire: Wire,
        scope: TaskScope,
        metrics: Metrics,
        *,
        assignment: Callable[[], Assignment],
        notify: Callable[[str, Notice], None],
        idle: Callable[[ServableVersion], None],
        changed: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._metrics = metrics
        self._assignment = assignment
        self._notify = notify
        self._idle = idle
        self._changed = changed
        self._agents: dict[str, JoinedAgent] = {}
        self._signatures: dict[ServableVersion, dict[str, ModelSignature]] = {}
        self._uses = itertools.count(1)

    def joined(self, hello: Hello) -> Notice | None:
        """See ``MemberObserver``: the new agent is told what to load."""
        link = Link(
            self._wire,
            [hello.local_address, hello.address],
            EXECUTION_PATH,
            peer="the agent",
            max_outstanding=64,
            lost=AgentLost,
            changed=self._agents_changed,
        )
        device_type = hello.device.type if hello.device is not None else ""
        task = self._scope.spawn(link.keep(), name=f"link to agent {hello.member_id}")
        self._agents[hello.member_id] = JoinedAgent(link, task, device_type, hello.generation_role)
        return self._assignment()

    def reassign(self) -> None:
        """Agents must hold something else than before."""
        for member_id in self._agents:
            self._notify(member_id, self._assignment())

    def reported(self, hello: Hello, report: Report) -> None:
        """See ``MemberObserver``."""
        agent = self._agents.get(hello.member_id)
        if agent is None or not isinstance(report, Holdings):
            return
        agent.holdings = {holding.what: holding for holding in report.holdings}
        for holding in report.holdings:
            if holding.state == "ready":
                self._signatures[holding.what] = {model.key: model for model in holding.models}
        self._agents_changed()

    def left(self, hello: Hello, reason: str) -> None:
        """See ``MemberObserver``: the batch in the agent's hands fails at once."""
        agent = self._agents.pop(hello.member_id)
        agent.close()
        self._agents_changed()

    def forget(self, what: ServableVersion) -> None:
        """Let go of what was kept for a version that is served no more."""
        self._signatures.pop(what, None)
        for agent in self._agents.values():
            agent.memories.forget(what)
            if not agent.in_hand.get(what):
                agent.in_hand.pop(what, None)

    def _agents_changed(self) -> None:
        self._metrics.agents.set(sum(agent.link.connected for agent in self._agents.values()))
        self._changed()

    @property
    def absence(self) -> str:
        """Why there is no agent."""
        return "its last agent left"

    def __len__(self) -> int:
        return len(self._agents)

    def holding(self, what: ServableVersion) -> int:
        """How many agents hold ``what``, ready for batches."""
        return sum(agent.holds(what) for agent in self._agents.values())

    def step_lines(self, what: ServableVersion) -> dict[str, StepLine]:
        """The ways to the agents that hold ``what``, ready for steps, by member id."""
        return {
            member_id: StepLine(agent, what)
            for member_id, agent in self._agents.items()
            if agent.holds(what)
        }

    @property
    def device_type(self) -> str:
        """Of the agents that are there; empty when none of them has told."""
        return next((agent.device_type for agent in self._agents.values()), "")

    def standings(self, what: ServableVersion) -> list[Standing]:
        """How far each agent that is there is with ``what``."""
        here = [agent for agent in self._agents.values() if agent.link.connected]
        return [
            Standing(
                agent.holdings.get(what),
                agent.serves_beside(what),
                agent.generation_role.decodes,
            )
            for agent in here
        ]

    def signatures(self, what: ServableVersion) -> dict[str, ModelSignature]:
        """What the models of ``what`` take, by model key; empty until an agent has loaded them."""
        return self._signatures.get(what, {})

    def max_rows(self, what: ServableVersion, model: str) -> int:
        """Rows of one batch at most; 0 while no agent has loaded the model."""
        signature = self.signatures(what).get(model)
        return 0 if signature is None else signature.batch_size

    def take_idle(self, what: ServableVersion) -> TakenAgent | None:
        """The least busy of the agents that hold ``what`` and are idle for it, now taken."""
        return self._take(what, 0)

    def take_ahead(self, what: ServableVersion) -> TakenAgent | None:
        """An agent that has one batch and gets the next one already, so that it never waits."""
        return self._take(what, 1)

    def _take(self, what: ServableVersion, batches: int) -> TakenAgent | None:
        fitting = [
            agent
            for agent in self._agents.values()
            if len(agent.in_hand.get(what, ())) == batches and agent.holds(what)
        ]
        if not fitting:
            return None
        agent = min(fitting, key=lambda each: (each.busy, each.last_used))
        agent.last_used = next(self._uses)
        in_hand = agent.in_hand.setdefault(what, [])
        follows = in_hand[-1] if in_hand else None
        in_hand.append(TakenAgent(agent, what, self._metrics, follows, free=self._free))
        return in_hand[-1]

    def _free(self, taken: TakenAgent) -> None:
        taken.agent.in_hand[taken.what].remove(taken)
        self._idle(taken.what)
