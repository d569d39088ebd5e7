"""The agents that are there: what each holds, and which of them is idle."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from services.worker.agents.execution import EXECUTION_PATH, read_reply, write_request
from services.worker.agents.memory import SHARED_FROM_BYTES, SharedMemory, size_of
from services.worker.metrics import Metrics
from shared.arena import Column
from shared.errors import AgentLost, MemoryNotShared, Refused
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

log = structlog.get_logger()

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
    memories: dict[ServableVersion, SharedMemory] = field(default_factory=dict)
    shares_memory: bool = True
    """Until an attempt shows that it does not."""

    def holds(self, what: ServableVersion) -> bool:
        holding = self.holdings.get(what)
        return self.link.connected and holding is not None and holding.state == "ready"

    def memory_for(self, what: ServableVersion) -> SharedMemory | None:
        """Memory shared with the device process of ``what``; None when it is not on this host."""
        if not self.shares_memory or not self.link.address.startswith("unix"):
            return None
        memory = self.memories.get(what)
        if memory is None:
            memory = self.memories[what] = SharedMemory()
        return memory

    def abandon_memory(self, what: ServableVersion) -> None:
        """Use a version's memory no more: a batch that did not end well may still write there."""
        memory = self.memories.pop(what, None)
        if memory is not None:
            memory.close()

    def close(self) -> None:
        self.link.end()
        self.task.cancel()
        for memory in self.memories.values():
            memory.close()
        self.memories.clear()


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
            [hello.local_address, hello.address],
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
        agent.close()
        self._agents_changed()

    def forget(self, what: ServableVersion) -> None:
        """Let go of what was kept for a version that is served no more."""
        self._signatures.pop(what, None)
        for agent in self._agents.values():
            agent.abandon_memory(what)

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
        return TakenAgent(
            agent,
            what,
            self._signatures[what],
            self._metrics,
            free=lambda: self._free(agent, what),
        )

    def _free(self, agent: _Agent, what: ServableVersion) -> None:
        agent.busy.discard(what)
        self._idle(what)


class TakenAgent:
    """An agent taken for one batch."""

    def __init__(
        self,
        agent: _Agent,
        what: ServableVersion,
        signatures: dict[str, ModelSignature],
        metrics: Metrics,
        *,
        free: Callable[[], None],
    ) -> None:
        self._metrics = metrics
        self._agent = agent
        self._what = what
        self._signatures = signatures
        self._free = free
        self._rests = False

    def max_rows(self, model: str) -> int:
        """Rows that the model takes in one call."""
        return self._signatures[model].batch_size

    async def execute(self, call: ModelCall, columns: Sequence[Column], rows: int) -> list[Array]:
        """Run one batch.

        Raises Refused (not begun), AgentLost, DeviceHung, ExecutionFailed or
        InvalidRequest, each naming version, model and rows.
        """
        memory = None
        if size_of(columns) >= SHARED_FROM_BYTES:
            memory = self._agent.memory_for(self._what)
        try:
            return await self._execute(call, columns, rows, memory)
        except MemoryNotShared as failure:
            log.info("tensors travel inside messages", reason=failure.message)
            self._agent.shares_memory = False
            raise
        except Refused:
            self._rests = True
            raise
        except BaseException:
            if memory is not None:
                self._agent.abandon_memory(self._what)
            raise

    async def _execute(
        self,
        call: ModelCall,
        columns: Sequence[Column],
        rows: int,
        memory: SharedMemory | None,
    ) -> list[Array]:
        try:
            head, request = write_request(self._what, call, columns, rows, memory)
        except OSError as failure:
            raise MemoryNotShared(f"no shared memory to be had: {failure.strerror}") from failure
        (self._metrics.in_messages if memory is None else self._metrics.in_shared_memory).inc()
        subject = f"{self._what}, model '{call.model}', {rows} rows"
        reply = await self._agent.link.call(request, head=head, subject=subject)
        return read_reply(reply, memory)

    def release(self) -> None:
        """Give the agent back; one that refused rests first."""
        if self._rests:
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._free)
        else:
            self._free()
