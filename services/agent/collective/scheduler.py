"""MindSpore's scheduler, where the ranks of a group meet, as a child process of an agent."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.agent.collective.environment import scheduler_environment
from services.agent.collective.listening import listens
from shared.addresses import HostPort
from shared.child_process import ChildProcess, child_process
from shared.errors import LoadFailed
from shared.ports import is_unused, unused_port

_LOOK_SECONDS = 0.05


class Scheduler(asyncio.Protocol):
    """A running scheduler process and its socket."""

    def __init__(self, process: ChildProcess, address: HostPort) -> None:
        self.address = address
        self._process = process
        self._said = b""
        self._gone = asyncio.Event()
        self._listened = False

    async def listening(self) -> bool:
        """Wait until ranks can meet at the address; False if it ends before."""
        while not self._gone.is_set():
            if await asyncio.to_thread(listens, self._process.pid, self.address.port):
                self._listened = True
                return True
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def end(self) -> str:
        """Wait until it ends: what it said, or how it ended."""
        await self._gone.wait()
        return self._said.decode(errors="replace") or await self._process.cause()

    @property
    def lost_its_port(self) -> bool:
        """Whether it ended because another process was faster to listen there."""
        return not self._listened and not is_unused(self.address.port, self.address.host)

    def data_received(self, data: bytes) -> None:
        self._said += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()


@asynccontextmanager
async def open_scheduler(host: str, group_size: int) -> AsyncIterator[Scheduler]:
    """A scheduler for so many ranks on a free port of ``host``, ended on leaving.

    Raises LoadFailed when ``host`` is no address of this machine.
    """
    try:
        address = HostPort(host, unused_port(host))
    except OSError as failure:
        raise LoadFailed(f"MindSpore's scheduler on {host}: {failure.strerror}") from failure
    environment = {"GLOG_v": "3"} | os.environ | scheduler_environment(address, group_size)
    async with child_process(
        "services.agent.collective",
        (),
        lambda process: Scheduler(process, address),
        environment=environment,
    ) as scheduler:
        yield scheduler
