"""A stage process as the worker sees it."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from services.worker.instances import Values
from services.worker.stages.mailbox import pack
from services.worker.stages.messages import FORGET, LOAD, LOADED, MEMORIES, OVER, RUN
from services.worker.stages.turn import Memory, Run, Turn
from services.worker.stages.work import StageWork
from shared.arena import Arena
from shared.child_process import ChildProcess, child_process
from shared.errors import LoadFailed
from shared.frames import Frame, FrameReader
from shared.servable import ServableVersion


class StageHandle(asyncio.Protocol):
    """One living process, which does one thing after another.

    Whoever waits for it gets EOFError when it ends.
    """

    def __init__(self, process: ChildProcess, memories: Sequence[Memory]) -> None:
        self.process = process
        self._free = list(memories)
        self._reader = FrameReader()
        self._turns: deque[Turn] = deque()
        """What it was asked for and has not done yet; it works on the first."""
        self._transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()
        self.loaded: set[ServableVersion] = set()
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
        turn = self._ask(Frame(LOAD, _named(what)), LOADED)
        failure = (await turn.next()).head.decode()
        if failure:
            raise LoadFailed(failure)
        self.loaded.add(what)

    def forget(self, what: ServableVersion) -> None:
        """Let go of a version that is served no more."""
        if what in self.loaded and self.alive:
            self.loaded.discard(what)
            self._send(Frame(FORGET, _named(what)))

    def begin(self, work: StageWork, instances: Sequence[Values]) -> Run:
        """Have it work on instances, at once or after what it has: ``MEMORIES`` runs at most.

        Raises OSError without memory, EOFError without a process.
        """
        memory = self._free.pop()
        place = work.place
        try:
            payload, _ = pack(memory.inbox, list(instances), 0)
            head = {"method": place.method, "stage": place.stage, "where": work.where}
            again = work.read_again
            named = _named(place.what, memory=memory.number, read_again=again, **head)
            turn = self._ask(Frame(RUN, named, payload), OVER)
        except BaseException:
            self._free.append(memory)
            raise
        return Run(turn, memory, work, send=self._send, over=self._free.append)

    def _ask(self, frame: Frame, ends: bytes) -> Turn:
        self._send(frame)
        turn = Turn(ends)
        self._turns.append(turn)
        return turn

    def _send(self, frame: Frame) -> None:
        if self._transport is None:
            raise EOFError
        self._transport.writelines(frame.packed())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            if self._turns[0].heard(frame):
                self._turns.popleft()
                self.worked = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for number, turn in enumerate(self._turns):
            turn.lose(at_work=number == 0)
        self.ended.set()


def _named(what: ServableVersion, **more: object) -> bytes:
    return json.dumps({"servable": what.servable, "version": what.version, **more}).encode()


@asynccontextmanager
async def spawn(directory: Path) -> AsyncIterator[StageHandle]:
    """A stage process for the servables of ``directory``, ended on leaving."""
    memories = [Memory(number, Arena.create(), Arena.create()) for number in range(MEMORIES)]
    arenas = [arena for _, *both in memories for arena in both]
    descriptors = [arena.fd for arena in arenas]
    try:
        async with child_process(
            "services.worker.stages",
            [directory, *descriptors],
            lambda process: StageHandle(process, memories),
            passed=descriptors,
        ) as handle:
            yield handle
    finally:
        for arena in arenas:
            arena.close()
