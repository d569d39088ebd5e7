"""A stage process as the worker sees it."""

import asyncio
import json
import signal
import socket
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from services.worker.instances import Outcome, Values
from services.worker.stages.mailbox import pack, unpack
from services.worker.stages.messages import (
    ANSWER,
    ASK,
    FORGET,
    LOAD,
    LOADED,
    OUTCOMES,
    OVER,
    RUN,
    SECONDS,
    StagePlace,
)
from services.worker.stages.model_calls import Models, execute
from shared.arena import Arena
from shared.deadline import Deadline
from shared.errors import LoadFailed
from shared.frames import Frame, FrameReader
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall

# Between the end of a process's socket and its own.
_END_SECONDS = 1.0


class StageHandle(asyncio.Protocol):
    """One living process, which does one thing at a time.

    Whoever waits for it gets EOFError when it ends.
    """

    def __init__(self, inbox: Arena, outbox: Arena) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()
        self._heard = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self._process: asyncio.subprocess.Process | None = None
        self.ended = asyncio.Event()
        self._owed = b""
        """The kind of frame that ends what it works on; empty when it is idle."""
        self.loaded: set[ServableVersion] = set()
        self.took = 0.0
        """Seconds of the latest run, Python's own in the process."""
        self.worked = False
        """Whether it has done anything yet."""

    def adopt(self, process: asyncio.subprocess.Process) -> None:
        """The process at the other end."""
        self._process = process

    @property
    def alive(self) -> bool:
        """Whether it can be given work."""
        return self._transport is not None

    async def load(self, what: ServableVersion) -> None:
        """Import a servable; raises LoadFailed."""
        if what in self.loaded:
            return
        self._send(Frame(LOAD, _named(what)), owed=LOADED)
        failure = (await self._next()).head.decode()
        if failure:
            raise LoadFailed(failure)
        self.loaded.add(what)

    def forget(self, what: ServableVersion) -> None:
        """Let go of a version that is served no more."""
        if what in self.loaded and self.alive:
            self.loaded.discard(what)
            self._send(Frame(FORGET, _named(what)))

    async def run(
        self,
        place: StagePlace,
        where: str,
        instances: Sequence[Values],
        models: Models,
        deadline: Deadline | None,
    ) -> AsyncIterator[list[Outcome]]:
        """Outcomes as they come, for some instances after the others; OSError without memory."""
        payload, _ = pack(self._inbox, list(instances), 0)
        head = {"method": place.method, "stage": place.stage, "where": where}
        self._send(Frame(RUN, _named(place.what, **head), payload), owed=OVER)
        while (frame := await self._next()).kind != OVER:
            if frame.kind == OUTCOMES:
                yield unpack(self._outbox, frame.payload)
            elif frame.kind == ASK:
                await self._answer(frame, models, deadline)
        (self.took,) = SECONDS.unpack(frame.head)

    async def _answer(self, frame: Frame, models: Models, deadline: Deadline | None) -> None:
        call = ModelCall(**json.loads(frame.head))
        answer: object
        try:
            answer = await execute(models, call, unpack(self._outbox, frame.payload), deadline)
        except RuntimeError as failure:
            answer = str(failure)
        payload, _ = pack(self._inbox, answer, 0)
        self._send(Frame(ANSWER, b"", payload))

    async def wind_up(self) -> None:
        """Wait until what it does for nobody is over; its calls of models fail."""
        while self._owed:
            if (await self._next()).kind == ASK:
                payload, _ = pack(self._inbox, "the request ended", 0)
                self._send(Frame(ANSWER, b"", payload))

    def _send(self, frame: Frame, *, owed: bytes = b"") -> None:
        if self._transport is None:
            raise EOFError
        self._owed = owed or self._owed
        self._transport.writelines(frame.packed())

    async def _next(self) -> Frame:
        while not self._frames:
            if self._transport is None:
                raise EOFError
            self._heard.clear()
            await self._heard.wait()
        frame = self._frames.popleft()
        if frame.kind == self._owed:
            self._owed = b""
            self.worked = True
        return frame

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._frames.extend(self._reader.feed(data))
        self._heard.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._heard.set()
        self.ended.set()

    def kill(self) -> None:
        """End the process at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def close(self) -> None:
        """Let go of the socket."""
        if self._transport is not None:
            self._transport.abort()

    async def cause(self) -> str:
        """How it ended, when it has."""
        assert self._process is not None
        try:
            async with asyncio.timeout(_END_SECONDS):
                code = await self._process.wait()
        except TimeoutError:
            # It closed its socket and lives on, of no use to anybody.
            self.kill()
            code = await self._process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _named(what: ServableVersion, **more: object) -> bytes:
    return json.dumps({"servable": what.servable, "version": what.version, **more}).encode()


@asynccontextmanager
async def spawn(directory: Path) -> AsyncIterator[StageHandle]:
    """A stage process for the servables of ``directory``, ended on leaving."""
    inbox, outbox = Arena.create(), Arena.create()
    ours, theirs = socket.socketpair()
    passed = (theirs.fileno(), inbox.fd, outbox.fd)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.worker.stages", *map(str, passed), str(directory)),
        pass_fds=passed,
        stdin=asyncio.subprocess.DEVNULL,
    )
    theirs.close()
    _, handle = await asyncio.get_running_loop().create_unix_connection(
        lambda: StageHandle(inbox, outbox), sock=ours
    )
    handle.adopt(process)
    try:
        yield handle
    finally:
        handle.kill()
        handle.close()
        await process.wait()
        inbox.close()
        outbox.close()
