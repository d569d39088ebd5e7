"""One thing that a stage process was asked for, and what it says to it."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from services.worker.instances import Outcome
from services.worker.stages.mailbox import pack, unpack
from services.worker.stages.messages import ANSWER, ASK, OUTCOMES, OVER, SECONDS
from services.worker.stages.model_calls import execute
from services.worker.stages.work import StageWork
from shared.arena import Arena
from shared.frames import Frame
from shared.stage_graph import ModelCall


class Memory(NamedTuple):
    """Where the large values of one run lie."""

    number: int
    inbox: Arena
    """What the worker writes."""
    outbox: Arena


class Turn:
    """Frames that belong together, up to the one that ends them."""

    def __init__(self, ends: bytes) -> None:
        self._ends = ends
        self._frames: deque[Frame] = deque()
        self._heard = asyncio.Event()
        self._lost = False
        self.at_work = False
        """Whether the process ended while it worked on this."""

    def heard(self, frame: Frame) -> bool:
        """Keep what came; whether it was the last."""
        self._frames.append(frame)
        self._heard.set()
        return frame.kind == self._ends

    def lose(self, *, at_work: bool) -> None:
        """The process has ended."""
        self._lost, self.at_work = True, at_work
        self._heard.set()

    async def next(self) -> Frame:
        """The next frame; raises EOFError when none can come."""
        while not self._frames:
            if self._lost:
                raise EOFError
            self._heard.clear()
            await self._heard.wait()
        return self._frames.popleft()


class Run:
    """Instances at one stage of one request, as a process works on them.

    Either its outcomes are taken to their end, or it is wound up.
    """

    def __init__(
        self,
        turn: Turn,
        memory: Memory,
        work: StageWork,
        *,
        send: Callable[[Frame], None],
        over: Callable[[Memory], None],
    ) -> None:
        self._turn = turn
        self._memory = memory
        self._work = work
        self._send = send
        self._over = over
        self.took = 0.0
        """Seconds, Python's own in the process."""

    @property
    def was_at_work(self) -> bool:
        """Whether the process ended while it worked on this, and not on what came before."""
        return self._turn.at_work

    async def outcomes(self) -> AsyncIterator[list[Outcome]]:
        """As they come, for some instances after the others; EOFError if the process ends."""
        while (frame := await self._turn.next()).kind != OVER:
            if frame.kind == OUTCOMES:
                yield unpack(self._memory.outbox, frame.payload)
            elif frame.kind == ASK:
                await self._answer(frame)
        (self.took,) = SECONDS.unpack(frame.head)
        self._over(self._memory)

    async def _answer(self, frame: Frame) -> None:
        call = ModelCall(**json.loads(frame.head))
        answer: object
        try:
            rows = unpack(self._memory.outbox, frame.payload)
            answer = await execute(self._work.models, call, rows, self._work.urgency)
        except RuntimeError as failure:
            answer = str(failure)
        self._send_answer(answer)

    def _send_answer(self, answer: object) -> None:
        payload, _ = pack(self._memory.inbox, answer, 0)
        self._send(Frame(ANSWER, b"", payload))

    async def wind_up(self) -> None:
        """Wait until what nobody waits for is over; its calls of models fail."""
        while (frame := await self._turn.next()).kind != OVER:
            if frame.kind == ASK:
                self._send_answer("the request ended")
        self._over(self._memory)
