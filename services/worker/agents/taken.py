"""An agent that joined, and one that was taken for a batch."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from services.worker.agents.execution import read_reply, request_for, write_head
from services.worker.agents.memory import SHARED_FROM_BYTES, Memories, SharedMemory, size_of
from services.worker.metrics import Metrics
from shared.arena import Column
from shared.errors import AgentLost, MemoryNotShared, Refused, ServingError, Unavailable
from shared.membership import GenerationRole, Holding
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array
from shared.wire.link import Link

log = structlog.get_logger()

REST_SECONDS = 0.1
"""Whoever refused, or was lost, is not asked again before this time is over."""


@dataclass(slots=True, eq=False)
class JoinedAgent:
    """One joined agent; each version it holds has a device process, which runs one batch."""

    link: Link
    task: asyncio.Task[None]
    device_type: str = ""
    generation_role: GenerationRole = GenerationRole.BOTH
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


class TakenAgent:
    """An agent taken for one batch."""

    def __init__(
        self,
        agent: JoinedAgent,
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
