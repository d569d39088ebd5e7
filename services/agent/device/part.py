"""The part of an agent in one start of a gang: begun once, never tried again."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from services.agent.collective.environment import rank_environment
from services.agent.collective.rank import Rank
from services.agent.collective.scheduler import Scheduler, open_scheduler
from services.agent.device.supervisor import Limits, Supervisor
from shared.addresses import HostPort
from shared.decryption import DecryptionKey
from shared.errors import LoadFailed
from shared.membership import Assigned, Device, GangPart
from shared.tasks import task_scope

# The scheduler is given another port when somebody else took its own.
_PORTS_TRIED = 5


class PartSupervisor(Supervisor):
    """One rank of one epoch: what ends of it ends all of it, and is told as failed."""

    def __init__(
        self,
        assigned: Assigned,
        part: GangPart,
        rank: Rank,
        device: Device,
        limits: Limits,
        changed: Callable[[], None],
        key: DecryptionKey | None,
        *,
        after: Collection[asyncio.Task[None]] = (),
    ) -> None:
        super().__init__(rank.with_files(assigned), device, limits, changed, key)
        self._part = part
        self._rank = rank
        self._after = after

    async def run(self) -> None:
        """Load, serve, and say how it ended; begins when all of ``after`` have ended."""
        if self._after:
            # Two epochs at a time may not fit on the device.
            self._become("loading", "waiting for the end of an earlier epoch")
            await asyncio.wait(self._after)
        try:
            await self._begin(self._meeting())
        except LoadFailed as failure:
            self._become("failed", failure.message)
        except OSError as failure:
            self._become("failed", f"cannot start: {failure.strerror}")

    def _meeting(self) -> HostPort | None:
        try:
            return HostPort.parse(self._part.scheduler) if self._part.scheduler else None
        except ValueError as failure:
            raise LoadFailed(f"MindSpore's scheduler: {failure}") from None

    async def _begin(self, meeting: HostPort | None) -> None:
        async with self._rank_table_file() as table:
            if meeting is None or meeting.port:
                await self._compute(meeting, table)
                return
            for _ in range(_PORTS_TRIED):
                if not await self._compute_beside_scheduler(meeting.host, table):
                    return
            self._become("failed", f"{_PORTS_TRIED} ports of {meeting.host} were taken in a row")

    async def _compute(self, scheduler: HostPort | None, rank_table_file: str) -> None:
        groups = tuple(str(file.absolute()) for file in self._rank.group_config_files)
        variables = rank_environment(self._part, self._device, scheduler, rank_table_file, groups)
        await self._live("failed", variables)

    async def _compute_beside_scheduler(self, host: str, rank_table_file: str) -> bool:
        """Returns whether another port must be tried."""
        async with (
            open_scheduler(host, self._part.group_size) as scheduler,
            task_scope() as scope,
        ):
            computing = scope.spawn(self._compute(scheduler.address, rank_table_file), name="rank")
            attending = scope.spawn(self._attend(scheduler), name="scheduler")
            await asyncio.wait({computing, attending}, return_when=asyncio.FIRST_COMPLETED)
            if computing.done():
                return False
            if scheduler.lost_its_port:
                return True
            self._become("failed", f"MindSpore's scheduler ended ({attending.result()})")
        return False

    async def _attend(self, scheduler: Scheduler) -> str:
        """Tell where it is as soon as it is there; returns how it ended."""
        if await scheduler.listening():
            self.holding = replace(self.holding, scheduler=str(scheduler.address))
            self._changed()
        return await scheduler.end()

    @asynccontextmanager
    async def _rank_table_file(self) -> AsyncIterator[str]:
        """The name of a file with the rank table, gone on leaving; empty if nobody needs it."""
        if self._device.type != "Ascend" or not self._part.rank_table:
            yield ""
            return
        table = await asyncio.to_thread(_written, self._part.rank_table)
        try:
            yield str(table)
        finally:
            await asyncio.to_thread(table.unlink, missing_ok=True)


def _written(rank_table: str) -> Path:
    number, name = tempfile.mkstemp(prefix="rank_table_", suffix=".json")
    with os.fdopen(number, "w") as file:
        file.write(rank_table)
    return Path(name)
