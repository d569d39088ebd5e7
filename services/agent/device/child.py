"""A device process as its supervisor sees it."""

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import cast

from services.agent.device.channel import PROGRESS
from services.agent.device.folder import Folder
from services.agent.device.withdrawals import Withdrawals, create_page
from shared.child_process import ChildProcess, child_process
from shared.frames import Frame, FrameReader
from shared.tasks import task_scope

# A process that is found stopped at so many looks in a row is not waited for.
_LOOKS, _LOOK_SECONDS = 4, 0.5


class NotBegun(EOFError):
    """The device process ended before it came to this message."""


class _Asked:
    """A message in the hands of the device process."""

    __slots__ = ("answer", "heard", "limit_seconds")

    def __init__(
        self,
        answer: asyncio.Future[Frame],
        limit_seconds: float,
        heard: Callable[[str], None] | None,
    ) -> None:
        self.answer = answer
        self.heard = heard
        self.limit_seconds = limit_seconds


class Child(asyncio.Protocol):
    """A living device process and its socket.

    It works on one message after the other: answers come in the order of the messages,
    and each message's time begins when the one before it is answered.
    """

    def __init__(self, process: ChildProcess, withdrawals: Withdrawals) -> None:
        self.process = process
        self._withdrawals = withdrawals
        self._sent = 0
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader()
        self._line: deque[_Asked] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()
        self._why = ""

    @property
    def waiting(self) -> int:
        """Messages that are not answered yet."""
        return len(self._line)

    async def ask(
        self, frame: Frame, limit_seconds: float, heard: Callable[[str], None] | None = None
    ) -> Frame:
        """Send one message and wait for its answer; ``heard`` hears of progress before.

        A message whose caller leaves is worked on only if that had begun. Raises
        TimeoutError, saying why, and ends the process, when it works longer than the limit or
        is stopped; EOFError when it ends while working on it, NotBegun when it ends before.
        """
        if self._transport is None or self._transport.is_closing():
            raise NotBegun
        asked = _Asked(self._loop.create_future(), limit_seconds, heard)
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

    async def end(self) -> str:
        """Wait until process or socket end, or this side gives up: how that came about."""
        await self._gone.wait()
        return self._why or await self.process.cause()

    async def attend(self) -> None:
        """Notice that the process ended, whatever still holds its socket, or that it is stopped."""
        stopped = 0
        while not self._gone.is_set():
            try:
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self.process.end()
                break
            except TimeoutError:
                stopped = stopped + 1 if self.process.stopped else 0
                if stopped == _LOOKS:
                    self._give_up("was stopped by a signal")
        # What it said last may not be read yet.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._gone.wait()
        self._disconnect()

    def _watch(self, asked: _Asked) -> None:
        self._timer = self._loop.call_later(
            asked.limit_seconds, self._give_up, f"did not finish in {asked.limit_seconds} s"
        )

    def _give_up(self, why: str) -> None:
        """End the process; what it works on fails, and the rest of its line has not begun."""
        self._why = why
        if self._line and not self._line[0].answer.done():
            self._line[0].answer.set_exception(TimeoutError(why))
        self.process.kill()
        self._disconnect()

    def _disconnect(self) -> None:
        if self._transport is not None:
            self._transport.abort()

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
        self._gone.set()
        if self._timer is not None:
            self._timer.cancel()
        failure: type[EOFError] = EOFError
        while self._line:
            answer = self._line.popleft().answer
            if not answer.done():
                answer.set_exception(failure())
            failure = NotBegun


@asynccontextmanager
async def spawn(
    onednn_max_cpu_isa: str, variables: Mapping[str, str] = MappingProxyType({})
) -> AsyncIterator[Child]:
    """A device process in a folder of its own; both are gone on leaving.

    ``variables`` are added to its environment.
    """
    page = create_page()
    try:
        withdrawals = Withdrawals(page)
        ours = {"ONEDNN_MAX_CPU_ISA": onednn_max_cpu_isa, **variables}
        async with (
            _own_folder() as folder,
            child_process(
                "services.agent.device",
                [page, folder],
                lambda process: Child(process, withdrawals),
                passed=[page],
                environment={"GLOG_v": "3"} | os.environ | ours,
            ) as child,
            task_scope() as scope,
        ):
            scope.spawn(child.attend(), name="attending a device process")
            yield child
    finally:
        os.close(page)


@asynccontextmanager
async def _own_folder() -> AsyncIterator[Path]:
    """Where compilers leave what they make: ``kernel_meta``, ``rank_0``, and not for each alone."""
    folder = await asyncio.to_thread(Folder)
    try:
        yield folder.path
    finally:
        await asyncio.to_thread(folder.remove)
