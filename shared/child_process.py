"""A child process of a service, at the other end of a socket."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

_Protocol = TypeVar("_Protocol", bound=asyncio.BaseProtocol)

# Between the end of a process's socket and its own.
_END_SECONDS = 1.0


class ChildProcess:
    """A process that its parent started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> str:
        """Wait until it ends: the name of the signal that ended it, or its exit code."""
        code = await self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    async def cause(self) -> str:
        """How it ended, after its socket did; one that lives on is of no use and is killed."""
        try:
            async with asyncio.timeout(_END_SECONDS):
                return await self.end()
        except TimeoutError:
            self.kill()
            return await self.end()


@asynccontextmanager
async def child_process(
    module: str,
    arguments: Sequence[object],
    attend: Callable[[ChildProcess], _Protocol],
    *,
    passed: Sequence[int] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[_Protocol]:
    """``python -m module SOCKET ARGUMENTS...`` and who attends to it; it is ended on leaving.

    SOCKET is the number of the child's end of the socket; it gets the descriptors in
    ``passed`` too.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, str(theirs.fileno()), *map(str, arguments)),
            pass_fds=(theirs.fileno(), *passed),
            env=dict(os.environ if environment is None else environment),
            stdin=asyncio.subprocess.DEVNULL,
        )
        theirs.close()
        child = ChildProcess(process)
        try:
            transport, protocol = await asyncio.get_running_loop().create_unix_connection(
                lambda: attend(child), sock=ours
            )
            try:
                yield protocol
            finally:
                transport.abort()
        finally:
            child.kill()
            await process.wait()
