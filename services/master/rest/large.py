"""Large JSON, read and written by a process beside the master.

The parser holds the interpreter's lock from the first byte to the last, so on a thread of the
master ten megabytes would hold up everybody else's requests for a tenth of a second.
"""

import asyncio
from collections import deque
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

_FAILURES = {each.__name__: each for each in STATUSES}


class _Child(asyncio.Protocol):
    """The process, which answers frames in their order."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process
        self._reader = FrameReader()
        self._waiting: deque[asyncio.Future[Frame]] = deque()
        self._transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            answered = self._waiting.popleft()
            if not answered.done():
                answered.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for each in self._waiting:
            if not each.done():
                each.set_exception(EOFError())
        self._waiting.clear()
        self.ended.set()

    async def ask(self, frame: Frame) -> Frame:
        """What it answers; raises EOFError when it ends."""
        if self._transport is None:
            raise EOFError
        answered: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting.append(answered)
        self._transport.writelines(frame.packed())
        return await answered

    async def cause(self) -> str:
        """How it ended."""
        return await self._process.cause()


class LargeJson:
    """One process, started when first needed and again when it ended."""

    def __init__(self, scope: TaskScope) -> None:
        self._scope = scope
        self._started: asyncio.Future[_Child] | None = None

    async def read(self, path: str, body: bytes | bytearray, deadline: Deadline) -> bytes:
        """The message of a request; raises what reading it raises, and DeadlineExceeded."""
        return (await self._ask(Frame(READ, path.encode(), bytes(body)), deadline)).payload

    async def write(self, reply: bytes, deadline: Deadline) -> tuple[bytes, int]:
        """See ``requests.write_reply``; raises DeadlineExceeded too."""
        frame = await self._ask(Frame(WRITE, b"", reply), deadline)
        return frame.payload, int(frame.head)

    async def _ask(self, frame: Frame, deadline: Deadline) -> Frame:
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._scope.spawn(self._keep(self._started), name="large JSON")
        try:
            async with asyncio.timeout_at(deadline.at):
                answer = await (await asyncio.shield(self._started)).ask(frame)
        except TimeoutError:
            raise DeadlineExceeded("the deadline passed while JSON was read or written") from None
        except EOFError:
            raise InternalError("the process that reads and writes large JSON has ended") from None
        if answer.kind == FAILED:
            raise _FAILURES[answer.head.decode()](answer.payload.decode())
        return answer

    async def _keep(self, started: asyncio.Future[_Child]) -> None:
        try:
            async with child_process("services.master.rest.large_process", [], _Child) as child:
                started.set_result(child)
                await child.ended.wait()
                log.error("the process for large JSON ended", cause=await child.cause())
        except OSError as failure:
            log.error("no process for large JSON to be had", reason=failure.strerror)
            started.set_exception(EOFError())
        finally:
            self._started = None
            started.cancel()
