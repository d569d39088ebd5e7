"""A gang at work: its agents, and the batches in their hands."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

import numpy as np
import structlog

from services.worker.agents.execution import read_reply, request_for, write_head
from services.worker.agents.memory import SHARED_FROM_BYTES, Memories, SharedMemory, size_of
from services.worker.gangs.asking import ask_ranks
from services.worker.gangs.groups import Group, takes_inputs
from services.worker.gangs.messages import RankRequests
from services.worker.gangs.rules import GangRules
from services.worker.metrics import Metrics
from shared.arena import Column
from shared.errors import AgentLost, ExecutionFailed, MemoryNotShared
from shared.membership import Hello, ModelSignature
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array
from shared.wire.link import Link

log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class RankAgent:
    """An agent that offers a rank."""

    hello: Hello
    rank: int
    link: Link
    task: asyncio.Task[None]
    models: tuple[ModelSignature, ...] = ()
    """What it loaded in its present epoch."""
    shares_memory: bool = True
    """Until an attempt shows that it does not."""

    @property
    def is_here(self) -> bool:
        """Whether its device process reaches memory of this one, as far as is known."""
        return self.shares_memory and self.link.address.startswith("unix")

    def close(self) -> None:
        """It left."""
        self.link.end()
        self.task.cancel()


def _unended() -> asyncio.Future[NoReturn]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class LiveGang:
    """One start of all ranks; ``over`` fails when it ends."""

    what: ServableVersion
    epoch: int
    agents: Sequence[RankAgent]
    """In order of rank."""
    groups: Sequence[Group]
    rules: GangRules
    metrics: Metrics
    over: asyncio.Future[NoReturn] = field(default_factory=_unended)
    meeting: set[Group] = field(default_factory=set)
    """Groups whose ranks were told where they meet."""
    leaving: str = ""
    """Why it takes no more batches; empty while it does."""
    in_hand: int = 0
    last_used: int = 0
    memories: Memories = field(default_factory=Memories)

    def end(self, reason: str) -> None:
        """Fail the batches in its hands."""
        self.memories.close()
        if not self.over.done():
            self.over.set_exception(AgentLost(f"{self.what}: its gang ended: {reason}"))
            # Nobody need be there to hear it.
            self.over.exception()

    async def execute(self, call: ModelCall, columns: Sequence[Column], rows: int) -> list[Array]:
        """Run one batch on every rank.

        Raises InvalidRequest or Refused when all ranks refused it, which goes on to serve then;
        after AgentLost, DeviceHung or ExecutionFailed, naming the rank, the gang is of no use.
        """
        if self._is_here and size_of(columns) >= SHARED_FROM_BYTES:
            try:
                with self.memories.lent(self.what) as memory:
                    return await self._execute(call, columns, rows, memory)
            except MemoryNotShared as failure:
                log.info("tensors travel inside messages", reason=failure.message)
        return await self._execute(call, columns, rows, None)

    @property
    def _is_here(self) -> bool:
        """Whether all device processes reach memory of this one."""
        # Ranks that are compared would write their outputs to the same place.
        return all(agent.is_here for agent in self.agents) and not self.rules.compare

    async def _execute(
        self, call: ModelCall, columns: Sequence[Column], rows: int, memory: SharedMemory | None
    ) -> list[Array]:
        requests = RankRequests(request_for(call, columns, memory))
        (self.metrics.in_messages if memory is None else self.metrics.in_shared_memory).inc()
        head = write_head(self.what, call.model, rows, self.epoch)
        for group in self.groups[:-1]:
            requests = requests.after((await self._ask(group, call, head, requests, rows))[-1])
        replies = await self._ask(self.groups[-1], call, head, requests, rows)
        outputs = read_reply(replies[-1], memory)
        if self.rules.compare:
            self._compare(outputs, replies[:-1])
        return outputs

    def _compare(self, outputs: Sequence[Array], replies: Sequence[bytes]) -> None:
        *others, last = self._returning(self.groups[-1])
        for rank, reply in zip(others, replies, strict=True):
            if not all(map(_equal, outputs, read_reply(reply, None))):
                raise ExecutionFailed(f"rank {rank} returned something else than rank {last}")

    def _returning(self, group: Group) -> Sequence[int]:
        """The ranks whose outputs somebody wants."""
        if self.rules.compare and group is self.groups[-1]:
            return group.ranks[-(len(group.ranks) // group.stages) :]
        return group.ranks[-1:]

    async def _ask(
        self, group: Group, call: ModelCall, head: bytes, requests: RankRequests, rows: int
    ) -> list[bytes]:
        """Have every rank of a group run a batch; gives the replies of those that return one."""
        returning = self._returning(group)

        async def ask(rank: int) -> bytes:
            agent = self.agents[rank]
            graph = agent.models[0].subgraphs[call.subgraph]
            request = requests.written(
                inputs=takes_inputs(group, rank) or bool(graph.inputs), outputs=rank in returning
            )
            try:
                return await agent.link.call(request, head=head, subject=subject)
            except MemoryNotShared:
                agent.shares_memory = False
                raise

        subject = f"{self.what}, model '{call.model}', {rows} rows"
        replies = await ask_ranks(
            {rank: partial(ask, rank) for rank in group.ranks},
            seconds=self.rules.call_seconds,
            over=self.over,
            subject=subject,
        )
        return [replies[rank] for rank in returning]

    async def step(self, head: bytes, step: bytes) -> list[bytes]:
        """Have every rank do one step of a language model; their answers, in order of rank.

        Raises what ``execute`` does.
        """
        subject = str(self.what)
        answers = await ask_ranks(
            {
                rank: partial(agent.link.call, step, head=head, subject=subject)
                for rank, agent in enumerate(self.agents)
            },
            seconds=self.rules.call_seconds,
            over=self.over,
            subject=subject,
        )
        return [answers[rank] for rank in range(len(self.agents))]


def _equal(one: Array, other: Array) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
