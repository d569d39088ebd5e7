"""A device process as its supervisor sees it."""

import asyncio
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from services.agent.device.channel import PROGRESS
from services.agent.device.withdrawals import Withdrawals, create_page
from shared.frames import Frame, FrameReader


class NotBegun(EOFError):
    """The device process ended before it came to this message."""


class _Asked:
    """A message in the hands of the device process."""

    __slots__ = ("answer", "heard", "limit_seconds")

    def __init__(self, limit_seconds: float, heard: Callable[[str], None] | None) -> None:
        self.answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self.heard = heard
        self.limit_seconds = limit_seconds


class Child(asyncio.Protocol):
    """A living device process and its socket.

    It works on one message after the other: answers come in the order of the messages,
    and each message's time begins when the one before it is answered.
    """

    def __init__(self, withdrawals: Withdrawals) -> None:
        self._withdrawals = withdrawals
        self._sent = 0
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._line: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None

    def adopt(self, process: asyncio.subprocess.Process) -> None:
        """The process at the other end."""
        self._process = process

    @property
    def waiting(self) -> int:
        """Messages that are not answered yet."""
        return len(self._line)

    async def ask(
        self, frame: Frame, limit_seconds: float, heard: Callable[[str], None] | None = None
    ) -> Frame:
        """Send one message and wait for its answer; ``heard`` hears of progress before.

        A message whose caller leaves is worked on only if that had begun. Raises
        TimeoutError, and ends the process, when it works longer than the limit; EOFError
        when it ends while working on it, NotBegun when it ends before.
        """
        if self._transport is None or self._transport.is_closing():
            raise NotBegun
        asked = _Asked(limit_seconds, heard)
        self._line.append(asked)
        if len(self._line) == 1:
            self._watch(asked)
        number, self._sent = self._sent, self._sent + 1
        self._withdrawals.expect(number)
        self._transport.writelines(frame.packed())
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if asked in self._line:
                self._withdrawals.withdraw(number)
            raise

    def _watch(self, asked: _Asked) -> None:
        self._timer = self._loop.call_later(asked.limit_seconds, self._expire, asked)

    def _expire(self, asked: _Asked) -> None:
        if not asked.answer.done():
            asked.answer.set_exception(TimeoutError())
        self.kill()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            asked = self._line[0]
            if frame.kind == PROGRESS:
                if asked.heard is not None:
                    asked.heard(frame.head.decode())
                continue
            self._line.popleft()
            if self._timer is not None:
                self._timer.cancel()
            if self._line:
                self._watch(self._line[0])
            if not asked.answer.done():
                asked.answer.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        failure: type[EOFError] = EOFError
        while self._line:
            answer = self._line.popleft().answer
            if not answer.done():
                answer.set_exception(failure())
            failure = NotBegun

    def close(self) -> None:
        """Let go of the socket."""
        if self._transport is not None:
            self._transport.abort()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def cause(self) -> str:
        """How it ended, when it has."""
        assert self._process is not None
        code = await self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


@asynccontextmanager
async def spawn(onednn_max_cpu_isa: str) -> AsyncIterator[Child]:
    """A device process, ended on leaving."""
    page = create_page()
    withdrawals = Withdrawals(page)
    ours, theirs = socket.socketpair()
    environment = {"GLOG_v": "3"} | os.environ | {"ONEDNN_MAX_CPU_ISA": onednn_max_cpu_isa}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.agent.device",
        str(theirs.fileno()),
        str(page),
        pass_fds=(theirs.fileno(), page),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
    )
    theirs.close()
    os.close(page)
    _, child = await asyncio.get_running_loop().create_unix_connection(
        lambda: Child(withdrawals), sock=ours
    )
    child.adopt(process)
    try:
        yield child
    finally:
        child.kill()
        child.close()
        await process.wait()
