"""The agents that are there: what each holds, and which of them is idle."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from services.worker.agents.execution import EXECUTION_PATH, read_reply, request_for, write_head
from services.worker.agents.memory import SHARED_FROM_BYTES, Memories, SharedMemory, size_of
from services.worker.agents.progress import Standing
from services.worker.metrics import Metrics
from shared.arena import Column
from shared.errors import AgentLost, MemoryNotShared, Refused, ServingError, Unavailable
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

REST_SECONDS = 0.1
"""Whoever refused a batch is not asked again before this time is over."""


@dataclass(slots=True, eq=False)
class _Agent:
    """One joined agent; each version it holds has a device process, which runs one batch."""

    link: Link
    task: asyncio.Task[None]
    holdings: dict[ServableVersion, Holding] = field(default_factory=dict)
    in_hand: dict[ServableVersion, list["TakenAgent"]] = field(default_factory=dict)
    """Its batches of each version, in the order in which they were handed over."""
    last_used: int = 0
    memories: Memories = field(default_factory=Memories)
    shares_memory: bool = True
    """Until an attempt shows that it does not."""

    def holds(self, what: ServableVersion) -> bool:
        holding = self.holdings.get(what)
        return self.link.connected and holding is not None and holding.state == "ready"

    def serves_beside(self, what: ServableVersion) -> bool:
        others = [each for each in self.holdings if each.servable == what.servable]
        return any(other != what and self.holds(other) for other in others)

    @property
    def busy(self) -> int:
        """Batches in its hands."""
        return sum(map(len, self.in_hand.values()))

    @property
    def is_here(self) -> bool:
        """Whether its device processes reach memory of this one, as far as is known."""
        return self.shares_memory and self.link.address.startswith("unix")

    def close(self) -> None:
        self.link.end()
        self.task.cancel()
        self.memories.close()


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

    def standings(self, what: ServableVersion) -> list[Standing]:
        """How far each agent that is there is with ``what``."""
        here = [agent for agent in self._agents.values() if agent.link.connected]
        return [Standing(agent.holdings.get(what), agent.serves_beside(what)) for agent in here]

    def signatures(self, what: ServableVersion) -> dict[str, ModelSignature]:
        """What the models of ``what`` take, by model key; empty until an agent has loaded them."""
        return self._signatures.get(what, {})

    def max_rows(self, what: ServableVersion, model: str) -> int:
        """Rows of one batch at most; 0 while no agent has loaded the model."""
        signature = self.signatures(what).get(model)
        return 0 if signature is None else signature.batch_size

    def take_idle(self, what: ServableVersion) -> "TakenAgent | None":
        """The least busy of the agents that hold ``what`` and are idle for it, now taken."""
        return self._take(what, 0)

    def take_ahead(self, what: ServableVersion) -> "TakenAgent | None":
        """An agent that has one batch and gets the next one already, so that it never waits."""
        return self._take(what, 1)

    def _take(self, what: ServableVersion, batches: int) -> "TakenAgent | None":
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

    def _free(self, taken: "TakenAgent") -> None:
        taken.agent.in_hand[taken.what].remove(taken)
        self._idle(taken.what)


class TakenAgent:
    """An agent taken for one batch."""

    def __init__(
        self,
        agent: _Agent,
        what: ServableVersion,
        metrics: Metrics,
        follows: "TakenAgent | None",
        *,
        free: Callable[["TakenAgent"], None],
    ) -> None:
        self.agent = agent
        self.what = what
        self._metrics = metrics
        self._follows = follows
        self._free = free
        self._rests = False
        self.answered = False
        """Whether the agent said how the batch ended."""
        self.released = False

    @property
    def waits(self) -> bool:
        """Whether the batch before it is still at work, as far as is known here."""
        follows = self._follows
        return follows is not None and not (follows.answered or follows.released)

    async def execute(self, call: ModelCall, columns: Sequence[Column], rows: int) -> list[Array]:
        """Run one batch.

        Raises Refused (not begun), AgentLost, DeviceHung, ExecutionFailed or
        InvalidRequest, each naming version, model and rows.
        """
        try:
            if self.agent.is_here and size_of(columns) >= SHARED_FROM_BYTES:
                outputs = await self._execute_in_memory(call, columns, rows)
            else:
                outputs = await self._execute(call, columns, rows, None)
        except MemoryNotShared as failure:
            log.info("tensors travel inside messages", reason=failure.message)
            self.agent.shares_memory = False
            raise
        except Refused:
            self._rests = True
            raise
        except AgentLost as failure:
            if self._follows is not None and not self._follows.answered:
                # It waited behind another one, as far as anybody knows. Should it have begun:
                # models have no effects, so it may run again.
                self._rests = True
                raise Unavailable(failure.message) from failure
            raise
        except ServingError:
            self.answered = True
            raise
        self.answered = True
        return outputs

    async def _execute_in_memory(
        self, call: ModelCall, columns: Sequence[Column], rows: int
    ) -> list[Array]:
        with self.agent.memories.lent(self.what) as memory:
            return await self._execute(call, columns, rows, memory)

    async def _execute(
        self,
        call: ModelCall,
        columns: Sequence[Column],
        rows: int,
        memory: SharedMemory | None,
    ) -> list[Array]:
        request = request_for(call, columns, memory).SerializeToString()
        head = write_head(self.what, call.model, rows)
        (self._metrics.in_messages if memory is None else self._metrics.in_shared_memory).inc()
        subject = f"{self.what}, model '{call.model}', {rows} rows"
        reply = await self.agent.link.call(request, head=head, subject=subject)
        return read_reply(reply, memory)

    def release(self) -> None:
        """Give the agent back; one that refused rests first."""
        self.released = True
        self._follows = None
        if self._rests:
            asyncio.get_running_loop().call_later(REST_SECONDS, self._free, self)
        else:
            self._free(self)
