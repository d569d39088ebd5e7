"""Large JSON, read and written by a process beside the master.

The parser holds the interpreter's lock from the first byte to the last, so on a thread of the
master ten megabytes would hold up everybody else's requests for a tenth of a second.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import cast

import structlog

from services.master.rest.large_process import FAILED, READ, WRITE
from services.master.rest.statuses import STATUSES
from shared.child_process import ChildProcess, child_process
from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, InternalError
from shared.frames import Frame, FrameReader
from shared.tasks import TaskScope

log = structlog.get_logger()

_PROCESS = "the process that reads and writes large JSON"
_FAILURES = {each.__name__: each for each in STATUSES}


class _Child(asyncio.Protocol):
    """The process, which does one thing at a time."""

    def __init__(self, process: ChildProcess, stirred: asyncio.Event) -> None:
        self.process = process
        self.ended = False
        self._stirred = stirred
        """Set when it ends."""
        self._reader = FrameReader()
        self._answered: asyncio.Future[Frame] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            if self._answered is not None and not self._answered.done():
                self._answered.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._stirred.set()
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(EOFError())

    def end(self) -> None:
        """Nothing that it may still answer is of use."""
        self.ended = True
        self.process.kill()

    async def ask(self, frame: Frame) -> Frame:
        """What it answers; raises EOFError when it ends."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.writelines(frame.packed())
        return await self._answered


@dataclass(slots=True, eq=False)
class _Piece:
    """What the process is asked to do, and who waits for it."""

    frame: Frame
    done: asyncio.Future[Frame]

    def fail(self, reason: str) -> None:
        """The process did not do it."""
        if not self.done.done():
            self.done.set_exception(InternalError(f"{_PROCESS} {reason}"))


class LargeJson:
    """One process, started when first needed and again when it ended.

    It gets one piece after another. One that it dies or hangs of fails alone: those that wait
    behind it go to the next process.
    """

    def __init__(self, scope: TaskScope, *, hang_seconds: float) -> None:
        self._scope = scope
        self._hang_seconds = hang_seconds
        self._waiting: deque[_Piece] = deque()
        self._stirred = asyncio.Event()
        self._kept = False
        """Whether somebody looks after what waits."""

    async def read(self, path: str, body: bytes | bytearray, deadline: Deadline) -> bytes:
        """The message of a request; raises what reading it raises, and DeadlineExceeded."""
        return (await self._ask(Frame(READ, path.encode(), bytes(body)), deadline)).payload

    async def write(self, reply: bytes, deadline: Deadline) -> tuple[bytes, int]:
        """See ``requests.write_reply``; raises DeadlineExceeded too."""
        frame = await self._ask(Frame(WRITE, b"", reply), deadline)
        return frame.payload, int(frame.head)

    async def _ask(self, frame: Frame, deadline: Deadline) -> Frame:
        piece = _Piece(frame, asyncio.get_running_loop().create_future())
        self._waiting.append(piece)
        self._stirred.set()
        if not self._kept:
            self._kept = True
            self._scope.spawn(self._keep(), name="large JSON")
        try:
            async with asyncio.timeout_at(deadline.at):
                answer = await piece.done
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while JSON was read or written") from None
        finally:
            if piece in self._waiting:
                self._waiting.remove(piece)
        if answer.kind == FAILED:
            raise _FAILURES[answer.head.decode()](answer.payload.decode())
        return answer

    async def _keep(self) -> None:
        """Processes, one after another while there is something to do."""
        try:
            while self._waiting:
                async with child_process(
                    "services.master.rest.large_process", [], partial(_Child, stirred=self._stirred)
                ) as child:
                    while piece := await self._next(child):
                        await self._work(child, piece)
                    log.error("the process for large JSON ended", cause=await child.process.cause())
        except OSError as failure:
            log.error("no process for large JSON to be had", reason=failure.strerror)
            for piece in self._waiting:
                piece.fail("cannot be started")
        finally:
            self._kept = False

    async def _next(self, child: _Child) -> _Piece | None:
        """The next piece; None when the process has ended."""
        while not child.ended:
            if self._waiting:
                return self._waiting.popleft()
            self._stirred.clear()
            await self._stirred.wait()
        return None

    async def _work(self, child: _Child, piece: _Piece) -> None:
        """Have it done, whether or not somebody still waits for it."""
        try:
            async with asyncio.timeout(self._hang_seconds):
                answer = await child.ask(piece.frame)
        except TimeoutError:
            log.warning("the process for large JSON hangs: it is ended")
            piece.fail(f"did not finish in {self._hang_seconds:g} s and was ended")
            child.end()
        except EOFError:
            piece.fail("has ended")
        else:
            if not piece.done.done():
                piece.done.set_result(answer)
