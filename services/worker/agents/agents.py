"""The agents that are there: what each holds, and which of them is idle."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from services.worker.agents.execution import EXECUTION_PATH, read_reply, write_request
from services.worker.metrics import Metrics
from shared.errors import AgentLost, Refused
from shared.membership import (
    Assignment,
    Hello,
    Holding,
    Holdings,
    ModelSignature,
    Notice,
    Report,
)
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import TaskScope
from shared.tensors import Array
from shared.wire.interface import Wire
from shared.wire.link import Link

# An agent that refused a batch is not asked again before this time is over.
_REST_SECONDS = 0.1


@dataclass(slots=True, eq=False)
class _Agent:
    """One joined agent; each version it holds has a device process, which takes one batch."""

    link: Link
    task: asyncio.Task[None]
    holdings: dict[ServableVersion, Holding] = field(default_factory=dict)
    busy: set[ServableVersion] = field(default_factory=set)
    last_used: int = 0

    def holds(self, what: ServableVersion) -> bool:
        holding = self.holdings.get(what)
        return self.link.connected and holding is not None and holding.state == "ready"


class Agents:
    """Observes who joins, reports and leaves; lends idle agents out.

    ``idle`` hears that an agent may be idle for a version, ``changed`` that
    agents or what they hold changed.
    """

    def __init__(
        self,
        wire: Wire,
        scope: TaskScope,
        metrics: Metrics,
        *,
        assignment: Callable[[], Assignment],
        idle: Callable[[ServableVersion], None],
        changed: Callable[[], None],
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._metrics = metrics
        self._assignment = assignment
        self._idle = idle
        self._changed = changed
        self._agents: dict[str, _Agent] = {}
        self._signatures: dict[ServableVersion, dict[str, ModelSignature]] = {}
        self._uses = itertools.count(1)

    def joined(self, hello: Hello) -> Notice | None:
        """See ``MemberObserver``: the new agent is told what to load."""
        link = Link(
            self._wire,
            hello.address,
            EXECUTION_PATH,
            peer="the agent",
            max_outstanding=64,
            lost=AgentLost,
            changed=self._agents_changed,
        )
        task = self._scope.spawn(link.keep(), name=f"link to agent {hello.member_id}")
        self._agents[hello.member_id] = _Agent(link, task)
        return self._assignment()

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
        agent.link.end()
        agent.task.cancel()
        self._agents_changed()

    def _agents_changed(self) -> None:
        self._metrics.agents.set(sum(agent.link.connected for agent in self._agents.values()))
        self._changed()

    def __len__(self) -> int:
        return len(self._agents)

    def holding(self, what: ServableVersion) -> int:
        """How many agents hold ``what``, ready for batches."""
        return sum(agent.holds(what) for agent in self._agents.values())

    def signatures(self, what: ServableVersion) -> dict[str, ModelSignature]:
        """What the models of ``what`` take, by model key; empty until an agent has loaded them."""
        return self._signatures.get(what, {})

    def take_idle(self, what: ServableVersion) -> "TakenAgent | None":
        """The least busy of the agents that hold ``what`` and are idle for it, now taken."""
        idle = [
            agent for agent in self._agents.values() if what not in agent.busy and agent.holds(what)
        ]
        if not idle:
            return None
        agent = min(idle, key=lambda each: (len(each.busy), each.last_used))
        agent.last_used = next(self._uses)
        agent.busy.add(what)
        return TakenAgent(agent.link, what, self._signatures[what], lambda: self._free(agent, what))

    def _free(self, agent: _Agent, what: ServableVersion) -> None:
        agent.busy.discard(what)
        self._idle(what)


class TakenAgent:
    """An agent taken for one batch."""

    def __init__(
        self,
        link: Link,
        what: ServableVersion,
        signatures: dict[str, ModelSignature],
        free: Callable[[], None],
    ) -> None:
        self._link = link
        self._what = what
        self._signatures = signatures
        self._free = free
        self._refused = False

    def max_rows(self, model: str) -> int:
        """Rows that the model takes in one call."""
        return self._signatures[model].batch_size

    async def execute(self, call: ModelCall, inputs: Sequence[Array], rows: int) -> list[Array]:
        """Run one batch.

        Raises Refused (not begun), AgentLost, DeviceHung, ExecutionFailed or
        InvalidRequest, each naming version, model and rows.
        """
        subject = f"{self._what}, model '{call.model}', {rows} rows"
        request = write_request(self._what, call, inputs, rows)
        try:
            return read_reply(await self._link.call(request, subject=subject))
        except Refused:
            self._refused = True
            raise

    def release(self) -> None:
        """Give the agent back; one that refused rests first."""
        if self._refused:
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._free)
        else:
            self._free()
