"""Many calls at once over one stream, several in one write.

The caller's side is ``Exchange``, the other side ``serve_exchange``. A call ends
by its answer, its deadline, its caller leaving, or the stream breaking; each of
them frees its place on both sides.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from protos.serving.v1 import exchange_pb2
from shared.deadline import Deadline
from shared.errors import (
    DeadlineExceeded,
    InternalError,
    Overloaded,
    PeerLost,
    ServingError,
    Unavailable,
    rebuild,
)
from shared.tasks import TaskScope, task_scope
from shared.wire.interface import Channel, Stream

log = structlog.get_logger()

# One write carries at most this much, so that a small call never waits long
# behind others that were ready at the same moment.
_WRITE_CALLS = 64
_WRITE_BYTES = 1 << 20
_OPENING_SECONDS = 5.0
# From here on a payload is a message of its own: protobuf would copy it at every turn.
_ATTACHED_BYTES = 32 << 10


@dataclass(frozen=True, slots=True)
class Incoming:
    """A call as its handler gets it."""

    request_id: str
    deadline: Deadline | None
    payload: bytes
    head: bytes = b""


ExchangeHandler = Callable[[Incoming], Awaitable[bytes]]


@dataclass(slots=True)
class _Pending:
    """A call that waits for its answer."""

    call: exchange_pb2.Call
    payload: bytes
    subject: str
    answer: asyncio.Future[bytes]
    deadline: Deadline | None
    written: bool = False


class Exchange:
    """The caller's side of one exchange stream."""

    def __init__(self, peer: str, max_outstanding: int, lost: Callable[[str], PeerLost]) -> None:
        self._peer = peer
        self._max_outstanding = max_outstanding
        self._lost = lost
        self._pending: dict[int, _Pending] = {}
        self._unsent: deque[_Pending] = deque()
        self._cancelled: list[int] = []
        self._wake = asyncio.Event()
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
        loop = asyncio.get_running_loop()
        if self._broken:
            raise Unavailable(f"{self._peer} is not connected")
        if len(self._pending) >= self._max_outstanding:
            raise Overloaded(f"{self._peer} has {self._max_outstanding} calls outstanding already")
        self._last_id += 1
        call = exchange_pb2.Call(id=self._last_id, request_id=request_id, head=head)
        pending = _Pending(call, payload, subject, loop.create_future(), deadline)
        self._pending[call.id] = pending
        self._unsent.append(pending)
        self._wake.set()
        timer = None
        if deadline is not None:
            timer = loop.call_at(deadline.at, _expire, pending.answer, self._peer)
        try:
            return await pending.answer
        except (asyncio.CancelledError, DeadlineExceeded):
            self._withdraw(pending)
            raise
        finally:
            if timer is not None:
                timer.cancel()
            self._pending.pop(call.id, None)

    def _withdraw(self, pending: _Pending) -> None:
        if pending.written and pending.call.id in self._pending:
            self._cancelled.append(pending.call.id)
            self._wake.set()

    async def write_to(self, stream: Stream) -> None:
        """Send calls and withdrawals as they come, several in one message."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._unsent or self._cancelled:
                message = exchange_pb2.Calls(cancelled=self._cancelled)
                self._cancelled.clear()
                attached = self._fill(message)
                await stream.send(message.SerializeToString())
                for payload in attached:
                    await stream.send(payload)

    def _fill(self, message: exchange_pb2.Calls) -> list[bytes]:
        """Add calls that are ready; gives the payloads that follow the message."""
        now = asyncio.get_running_loop().time()
        attached: list[bytes] = []
        size = 0
        while self._unsent and len(message.calls) < _WRITE_CALLS and size < _WRITE_BYTES:
            pending = self._unsent.popleft()
            if pending.answer.done():
                continue
            pending.written = True
            if pending.deadline is not None:
                left = pending.deadline.remaining(now)
                pending.call.timeout_microseconds = max(1, int(left * 1e6))
            if len(pending.payload) >= _ATTACHED_BYTES:
                pending.call.attached = True
                attached.append(pending.payload)
            else:
                pending.call.payload = pending.payload
            message.calls.append(pending.call)
            size += len(pending.payload)
        return attached

    async def read_from(self, messages: AsyncIterator[bytes]) -> None:
        """Hand answers to their callers until the peer closes."""
        async for message in messages:
            for answer in exchange_pb2.Answers.FromString(message).answers:
                payload = await anext(messages) if answer.attached else answer.payload
                pending = self._pending.get(answer.id)
                if pending is None or pending.answer.done():
                    continue
                if answer.HasField("failure"):
                    failure = rebuild(answer.failure.name, answer.failure.message)
                    pending.answer.set_exception(failure)
                else:
                    pending.answer.set_result(payload)
        raise PeerLost(f"{self._peer} closed the connection")

    def end(self, reason: str) -> None:
        """Fail what waits: PeerLost for what was written, Unavailable for the rest."""
        self._broken = True
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
) -> AsyncIterator[Exchange]:
    """An exchange over ``channel`` while inside; the body ends with PeerLost when it breaks.

    The body begins when the other side has said that it is there. ``peer`` is what
    messages call it, ``lost`` makes the error of the calls that were in its hands.
    """
    exchange = Exchange(peer, max_outstanding, lost)
    try:
        async with channel.stream(path) as stream, task_scope() as scope:
            messages = aiter(stream)
            await _hear_from(peer, messages)
            scope.spawn(exchange.write_to(stream), name=f"exchange writer to {peer}")
            scope.spawn(exchange.read_from(messages), name=f"exchange reader from {peer}")
            yield exchange
    finally:
        exchange.end("closed the connection")


async def _hear_from(peer: str, messages: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(_OPENING_SECONDS):
            await anext(messages)
    except (TimeoutError, StopAsyncIteration):
        raise PeerLost(f"{peer} does not answer") from None


class _Served:
    """The serving side of one exchange stream."""

    def __init__(self, handler: ExchangeHandler, max_outstanding: int) -> None:
        self._handler = handler
        self._max_outstanding = max_outstanding
        self._running: dict[int, asyncio.Task[None]] = {}
        self._answers: deque[tuple[exchange_pb2.Answer, bytes]] = deque()
        self._wake = asyncio.Event()

    async def read_from(self, stream: Stream, scope: TaskScope) -> None:
        messages = aiter(stream)
        async for message in messages:
            calls = exchange_pb2.Calls.FromString(message)
            for call_id in calls.cancelled:
                running = self._running.get(call_id)
                if running is not None:
                    running.cancel()
            for call in calls.calls:
                payload = await anext(messages) if call.attached else call.payload
                self._begin(call, payload, scope)

    def _begin(self, call: exchange_pb2.Call, payload: bytes, scope: TaskScope) -> None:
        if len(self._running) >= self._max_outstanding:
            refusal = Overloaded(f"{self._max_outstanding} calls are being worked on already")
            self._answer(_failed(call.id, refusal))
            return
        deadline = None
        if call.timeout_microseconds:
            now = asyncio.get_running_loop().time()
            deadline = Deadline.after(call.timeout_microseconds / 1e6, now=now)
        incoming = Incoming(call.request_id, deadline, payload, call.head)
        task = scope.spawn(self._work(call.id, incoming), name=f"call {call.request_id or call.id}")
        self._running[call.id] = task
        task.add_done_callback(lambda _: self._running.pop(call.id, None))

    async def _work(self, call_id: int, incoming: Incoming) -> None:
        try:
            payload = await self._handler(incoming)
            self._answer(exchange_pb2.Answer(id=call_id), payload)
        except ServingError as failure:
            self._answer(_failed(call_id, failure))
        except Exception:
            log.exception("call failed", request_id=incoming.request_id)
            unforeseen = InternalError("internal error; the server's log has the details")
            self._answer(_failed(call_id, unforeseen))

    def _answer(self, answer: exchange_pb2.Answer, payload: bytes = b"") -> None:
        self._answers.append((answer, payload))
        self._wake.set()

    async def write_to(self, stream: Stream) -> None:
        await stream.send(exchange_pb2.Answers().SerializeToString())
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._answers:
                message, attached = self._take_answers()
                await stream.send(message.SerializeToString())
                for payload in attached:
                    await stream.send(payload)

    def _take_answers(self) -> tuple[exchange_pb2.Answers, list[bytes]]:
        """Answers that are ready, and the payloads that follow the message."""
        message = exchange_pb2.Answers()
        attached: list[bytes] = []
        size = 0
        while self._answers and len(message.answers) < _WRITE_CALLS and size < _WRITE_BYTES:
            answer, payload = self._answers.popleft()
            if len(payload) >= _ATTACHED_BYTES:
                answer.attached = True
                attached.append(payload)
            else:
                answer.payload = payload
            message.answers.append(answer)
            size += len(payload)
        return message, attached


def _failed(call_id: int, failure: ServingError) -> exchange_pb2.Answer:
    return exchange_pb2.Answer(
        id=call_id,
        failure=exchange_pb2.Failure(name=type(failure).__name__, message=failure.message),
    )


async def serve_exchange(stream: Stream, handler: ExchangeHandler, *, max_outstanding: int) -> None:
    """Work on the calls of one stream until its caller closes it or is lost.

    When it ends, calls still being worked on are cancelled.
    """
    served = _Served(handler, max_outstanding)
    try:
        async with task_scope() as scope:
            scope.spawn(served.write_to(stream), name="exchange answers")
            await served.read_from(stream, scope)
    except PeerLost:
        log.debug("exchange caller lost")
