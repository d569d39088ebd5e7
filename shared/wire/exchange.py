"""Many calls at once over one stream, several in one write.

This is the caller's side; the other one is ``exchange_server``. A call ends
by its answer, its deadline, its caller leaving, or the stream breaking; each of
them frees its place on both sides.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from protos.serving.v1 import exchange_pb2
from shared.bell import Bell
from shared.deadline import Deadline
from shared.errors import (
    DeadlineExceeded,
    MemoryNotShared,
    Overloaded,
    PeerLost,
    Unavailable,
    rebuild,
)
from shared.regions import OwnRegion
from shared.tasks import task_scope
from shared.wire.exchange_messages import (
    ATTACHED_BYTES,
    SHARED_FROM_BYTES,
    SHARED_TO_BYTES,
    WRITE_BYTES,
    WRITE_CALLS,
    write_region,
)
from shared.wire.interface import Channel, Stream
from shared.wire.lent_memory import LentMemory
from shared.wire.pending import Pending

log = structlog.get_logger()

_OPENING_SECONDS = 5.0


class Exchange:
    """The caller's side of one exchange stream."""

    def __init__(
        self,
        peer: str,
        max_outstanding: int,
        lost: Callable[[str], PeerLost],
        *,
        shares_memory: bool = False,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._peer = peer
        self._memory = LentMemory() if shares_memory else None
        self._seen = True
        """Whether the peer sees that memory; until it says that it does not."""
        self._max_outstanding = max_outstanding
        self._lost = lost
        self._pending: dict[int, Pending] = {}
        self._unsent: deque[Pending] = deque()
        self._cancelled: list[int] = []
        self._attached: deque[exchange_pb2.Answer] = deque()
        """Answers whose payloads are the next messages."""
        self.greeted = asyncio.Event()
        self._wake = Bell()
        self._last_id = 0
        self._broken = False

    @property
    def outstanding(self) -> int:
        """Calls that wait for their answers."""
        return len(self._pending)

    async def call(
        self,
        payload: bytes,
        *,
        deadline: Deadline | None = None,
        head: bytes = b"",
        request_id: str = "",
        subject: str = "this request",
    ) -> bytes:
        """Send one call and wait for its answer; ``subject`` names the work in errors.

        ``head`` travels beside the payload, which is passed on as it is.

        Raises the error that the peer named; Overloaded when too many calls are
        outstanding; DeadlineExceeded; Unavailable when the stream broke before
        the call was written (safe to send elsewhere), PeerLost after.
        """
        try:
            return await self._call(payload, deadline, head, request_id, subject)
        except MemoryNotShared as failure:
            if self._memory is None:
                raise
            # It has not begun.
            if self._seen:
                log.info("payloads travel inside messages", reason=failure.message)
                self._seen = False
        return await self._call(payload, deadline, head, request_id, subject)

    async def _call(
        self,
        payload: bytes,
        deadline: Deadline | None,
        head: bytes,
        request_id: str,
        subject: str,
    ) -> bytes:
        if self._broken:
            raise Unavailable(f"{self._peer} is not connected")
        if len(self._pending) >= self._max_outstanding:
            raise Overloaded(f"{self._peer} has {self._max_outstanding} calls outstanding already")
        self._last_id += 1
        pending = Pending(
            self._last_id, payload, head, request_id, subject, self._loop.create_future(), deadline
        )
        self._pending[pending.id] = pending
        self._unsent.append(pending)
        self._wake.ring()
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline.at, _expire, pending.answer, self._peer)
        try:
            return await pending.answer
        except (asyncio.CancelledError, DeadlineExceeded):
            self._withdraw(pending)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._pending.pop(pending.id, None)
            if self._memory is not None and pending.region is not None:
                if pending.answered and not self._broken:
                    self._memory.give_back(pending.region)
                else:
                    self._memory.lose(pending.region)

    def _withdraw(self, pending: Pending) -> None:
        if pending.written and pending.id in self._pending:
            self._cancelled.append(pending.id)
            self._wake.ring()

    async def write_to(self, stream: Stream) -> None:
        """Send calls and withdrawals as they come, several in one message."""
        while True:
            await self._wake.wait()
            while self._unsent or self._cancelled:
                message = exchange_pb2.Calls(cancelled=self._cancelled)
                self._cancelled.clear()
                attached = self._fill(message)
                await stream.send(message.SerializeToString(), *attached)

    def _fill(self, message: exchange_pb2.Calls) -> list[bytes]:
        """Add calls that are ready; gives the payloads that follow the message."""
        now = self._loop.time()
        attached: list[bytes] = []
        size = 0
        while self._unsent and len(message.calls) < WRITE_CALLS and size < WRITE_BYTES:
            pending = self._unsent.popleft()
            if pending.answer.done():
                continue
            pending.written = True
            payload = pending.payload
            call = message.calls.add(
                id=pending.id,
                timeout_microseconds=pending.timeout_microseconds(now),
                request_id=pending.request_id,
                head=pending.head,
            )
            if len(payload) < ATTACHED_BYTES:
                call.payload = payload
                size += len(payload)
            elif (region := self._lend(payload)) is not None:
                pending.region = region
                call.size = len(payload)
                call.region.CopyFrom(write_region(region.told))
            else:
                call.attached = True
                attached.append(payload)
                size += len(payload)
        return attached

    def _lend(self, payload: bytes) -> OwnRegion | None:
        if self._memory is None or not self._seen:
            return None
        fits = SHARED_FROM_BYTES <= len(payload) <= SHARED_TO_BYTES
        return self._memory.lend(payload) if fits else None

    async def read_from(self, stream: Stream) -> None:
        """Hand answers to their callers until the peer closes."""
        await stream.hear(self._heard)
        raise PeerLost(f"{self._peer} closed the connection")

    def _heard(self, message: bytes) -> None:
        if self._attached:
            self._settle(self._attached.popleft(), message)
            return
        answers = exchange_pb2.Answers.FromString(message).answers
        if not answers:
            self.greeted.set()
        for answer in answers:
            if answer.attached:
                self._attached.append(answer)
            else:
                self._settle(answer, answer.payload)

    def _settle(self, answer: exchange_pb2.Answer, payload: bytes) -> None:
        pending = self._pending.get(answer.id)
        if pending is None or pending.answer.done():
            return
        pending.answered = True
        if answer.HasField("failure"):
            failure = rebuild(answer.failure.name, answer.failure.message)
            pending.answer.set_exception(failure)
        else:
            pending.answer.set_result(payload)

    def end(self, reason: str) -> None:
        """Fail what waits: PeerLost for what was written, Unavailable for the rest."""
        self._broken = True
        if self._memory is not None:
            self._memory.close()
        for pending in self._pending.values():
            if pending.answer.done():
                continue
            if pending.written:
                text = f"{self._peer} {reason} with {pending.subject} in its hands"
                pending.answer.set_exception(self._lost(text))
            else:
                pending.answer.set_exception(Unavailable(f"{self._peer} is not connected"))


def _expire(answer: asyncio.Future[bytes], peer: str) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded(f"the deadline passed while waiting for {peer}"))


@asynccontextmanager
async def open_exchange(
    channel: Channel,
    path: str,
    *,
    peer: str,
    max_outstanding: int,
    lost: Callable[[str], PeerLost] = PeerLost,
    shares_memory: bool = False,
) -> AsyncIterator[Exchange]:
    """An exchange over ``channel`` while inside; the body ends with PeerLost when it breaks.

    The body begins when the other side has said that it is there. ``peer`` is what
    messages call it, ``lost`` makes the error of the calls that were in its hands.
    With ``shares_memory`` large payloads lie in memory that a peer on this host maps, until
    it says that it cannot.
    """
    exchange = Exchange(peer, max_outstanding, lost, shares_memory=shares_memory)
    try:
        async with channel.stream(path) as stream, task_scope() as scope:
            scope.spawn(exchange.read_from(stream), name=f"exchange reader from {peer}")
            await _greeting(exchange, peer)
            scope.spawn(exchange.write_to(stream), name=f"exchange writer to {peer}")
            yield exchange
    finally:
        exchange.end("closed the connection")


async def _greeting(exchange: Exchange, peer: str) -> None:
    try:
        async with asyncio.timeout(_OPENING_SECONDS):
            await exchange.greeted.wait()
    except TimeoutError:
        raise PeerLost(f"{peer} does not answer") from None
