"""A child process of a service, at the other end of a socket."""

import asyncio
import contextlib
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

    @property
    def pid(self) -> int:
        """Its number; another process may have it after the end."""
        return self._process.pid

    @property
    def stopped(self) -> bool:
        """Whether a signal has stopped it, and none has it go on yet."""
        try:
            # The parent is told of stops; the news is left where it is, to be told again.
            flags = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, flags) is not None
        except ChildProcessError:
            return False

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
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_SECONDS):
                    return await self.end()
            self.kill()
        # It waits in the kernel, for a device that does not answer.
        return "SIGKILL has not ended it yet"


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
            await _reaped(process)


async def _reaped(process: asyncio.subprocess.Process) -> None:
    """Wait for its end, also when cancelled meanwhile: what comes next may need its place."""
    cancelled: asyncio.CancelledError | None = None
    while process.returncode is None:
        try:
            await process.wait()
        except asyncio.CancelledError as asked:
            cancelled = asked
    if cancelled is not None:
        raise cancelled
