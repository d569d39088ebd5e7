"""The part of a worker that ranks see: a registrar that assigns epochs, and batches of them."""

import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psutil

from services.agent.rpc import EXCHANGE_PATH
from shared.errors import Unavailable
from shared.membership import (
    Assigned,
    Assignment,
    GangPart,
    Heartbeat,
    Hello,
    Holding,
    Holdings,
    ModelFiles,
    Report,
)
from shared.servable import ServableVersion
from shared.tensors import Array
from shared.wire.exchange import open_exchange
from shared.wire.grpcio import GrpcioWire
from shared.wire.membership import Registrar
from tests.support.batches import outputs_of, work_of
from tests.support.cluster import until

WHAT = ServableVersion("toy", 1)
LEASE_SECONDS = 1.0


class GangWorker:
    """Knows one agent for each rank; the tests say what it tells them."""

    def __init__(self, files: ModelFiles, rank_size: int) -> None:
        self.hellos: dict[int | None, list[Hello]] = defaultdict(list)
        self.holdings: dict[int | None, list[Holding]] = defaultdict(list)
        """Everything that each rank reported, without repetitions."""
        self.heartbeats = 0
        self.outstanding: dict[int | None, int] = {}
        """Batches in the hands of each rank, as it said last."""
        self._files = files
        self._rank_size = rank_size
        self.registrar = Registrar(self, LEASE_SECONDS)
        self.address = ""

    def joined(self, hello: Hello) -> Assignment:
        self.hellos[hello.rank].append(hello)
        return Assignment()

    def reported(self, hello: Hello, report: Report) -> None:
        rank = hello.rank
        if isinstance(report, Heartbeat):
            self.heartbeats += 1
            self.outstanding[rank] = report.outstanding
        if isinstance(report, Holdings):
            self.holdings[rank] += [
                each for each in report.holdings if each not in self.holdings[rank][-1:]
            ]

    def left(self, hello: Hello, reason: str) -> None:
        """Nothing depends on it."""

    def expel(self, rank: int) -> None:
        """Have the agent join again."""
        member = self.hellos[rank][-1].member_id
        self.registrar.expel(member, Unavailable("this worker starts again"))

    async def joined_by(self, rank: int | None, times: int = 1) -> Hello:
        await until(lambda: len(self.hellos[rank]) >= times, what=f"rank {rank} to join")
        return self.hellos[rank][-1]

    async def tell(self, rank: int | None, *parts: GangPart) -> None:
        """Assign these parts to the agent of ``rank``, and nothing else."""
        told = tuple(Assigned(WHAT, (self._files,), part) for part in parts)
        self.registrar.notify((await self.joined_by(rank)).member_id, Assignment(told))

    def part(self, epoch: int, rank: int, scheduler: str = "", **more: Any) -> GangPart:
        """A part in a gang whose ranks are one group."""
        size = self._rank_size
        return GangPart(epoch, rank, size, rank, size, scheduler, **more)

    async def holds(self, rank: int | None, state: str, epoch: int, detail: str = "") -> Holding:
        """Wait until the agent of ``rank`` reports that, ``detail`` being part of its own."""

        def found() -> Holding | None:
            return next(
                (
                    each
                    for each in self.holdings[rank]
                    if (each.state, each.epoch) == (state, epoch) and detail in each.detail
                ),
                None,
            )

        await until(
            found, what=lambda: f"rank {rank}, {state}, {epoch}; it said {self.holdings[rank]}"
        )
        holding = found()
        assert holding is not None
        return holding

    async def scheduler(self, rank: int, epoch: int) -> str:
        """Wait until the agent of ``rank`` says where the ranks of that epoch meet."""

        def found() -> str:
            told = (each.scheduler for each in self.holdings[rank] if each.epoch == epoch)
            return next(filter(None, told), "")

        await until(found, what=lambda: f"a scheduler; it said {self.holdings[rank]}")
        return found()

    async def call(
        self, rank: int, epoch: int, inputs: Sequence[Array], rows: int = 0, **more: Any
    ) -> list[Any]:
        """One batch for one rank; its outputs."""
        work = work_of(WHAT, self._files.key, inputs, rows or len(inputs[0]), epoch=epoch, **more)
        hello = await self.joined_by(rank)
        async with (
            GrpcioWire().connect(hello.address) as channel,
            open_exchange(channel, EXCHANGE_PATH, peer="the agent", max_outstanding=4) as agent,
        ):
            return outputs_of(await agent.call(work.request, head=work.head))

    async def heard(self, heartbeats: int) -> None:
        """Wait for so many signs of life."""
        enough = self.heartbeats + heartbeats
        await until(lambda: self.heartbeats >= enough, what="heartbeats")


@asynccontextmanager
async def gang_worker(files: ModelFiles, rank_size: int) -> AsyncIterator[GangWorker]:
    """A worker that ranks can join."""
    worker = GangWorker(files, rank_size)
    async with GrpcioWire().serve(worker.registrar.routes, ["127.0.0.1:0"]) as server:
        worker.address = server.addresses[0]
        yield worker


def processes(module: str, **variables: object) -> list[psutil.Process]:
    """Children of this process that run ``module`` with these variables in their environment."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if module in child.cmdline() and all(
                child.environ().get(name) == str(value) for name, value in variables.items()
            ):
                found.append(child)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def device_process(rank: int) -> psutil.Process:
    """The one device process of a rank."""
    (found,) = processes("services.agent.device", RANK_ID=rank)
    return found


async def ended(process: psutil.Process, seconds: float = 10.0) -> None:
    await until(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE,
        seconds=seconds,
        what=f"the end of {process}",
    )


def stop(process: psutil.Process) -> None:
    """SIGSTOP, seen to have arrived."""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
