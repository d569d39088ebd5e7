"""A stage process as the worker sees it."""

import asyncio
import json
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
from shared.child_process import ChildProcess, child_process
from shared.errors import LoadFailed
from shared.frames import Frame, FrameReader
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.urgency import Urgency


class StageHandle(asyncio.Protocol):
    """One living process, which does one thing at a time.

    Whoever waits for it gets EOFError when it ends.
    """

    def __init__(self, process: ChildProcess, inbox: Arena, outbox: Arena) -> None:
        self.process = process
        self._inbox = inbox
        self._outbox = outbox
        self._reader = FrameReader()
        self._frames: deque[Frame] = deque()
        self._heard = asyncio.Event()
        self._transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()
        self._owed = b""
        """The kind of frame that ends what it works on; empty when it is idle."""
        self.loaded: set[ServableVersion] = set()
        self.took = 0.0
        """Seconds of the latest run, Python's own in the process."""
        self.worked = False
        """Whether it has done anything yet."""

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
        urgency: Urgency,
    ) -> AsyncIterator[list[Outcome]]:
        """Outcomes as they come, for some instances after the others; OSError without memory."""
        payload, _ = pack(self._inbox, list(instances), 0)
        head = {"method": place.method, "stage": place.stage, "where": where}
        self._send(Frame(RUN, _named(place.what, **head), payload), owed=OVER)
        while (frame := await self._next()).kind != OVER:
            if frame.kind == OUTCOMES:
                yield unpack(self._outbox, frame.payload)
            elif frame.kind == ASK:
                await self._answer(frame, models, urgency)
        (self.took,) = SECONDS.unpack(frame.head)

    async def _answer(self, frame: Frame, models: Models, urgency: Urgency) -> None:
        call = ModelCall(**json.loads(frame.head))
        answer: object
        try:
            answer = await execute(models, call, unpack(self._outbox, frame.payload), urgency)
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


def _named(what: ServableVersion, **more: object) -> bytes:
    return json.dumps({"servable": what.servable, "version": what.version, **more}).encode()


@asynccontextmanager
async def spawn(directory: Path) -> AsyncIterator[StageHandle]:
    """A stage process for the servables of ``directory``, ended on leaving."""
    inbox, outbox = Arena.create(), Arena.create()
    try:
        async with child_process(
            "services.worker.stages",
            [inbox.fd, outbox.fd, directory],
            lambda process: StageHandle(process, inbox, outbox),
            passed=[inbox.fd, outbox.fd],
        ) as handle:
            yield handle
    finally:
        inbox.close()
        outbox.close()
