"""The serving side of an exchange: see ``shared.wire.exchange``."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from protos.serving.v1 import exchange_pb2
from shared.addresses import is_this_host
from shared.bell import Bell
from shared.deadline import Deadline
from shared.errors import InternalError, MemoryNotShared, Overloaded, PeerLost, ServingError
from shared.regions import Regions
from shared.tasks import TaskScope, task_scope
from shared.wire.exchange_messages import (
    ATTACHED_BYTES,
    MOST_REGIONS,
    WRITE_BYTES,
    WRITE_CALLS,
    read_region,
)
from shared.wire.interface import Stream

log = structlog.get_logger()


class Incoming(NamedTuple):
    """A call as its handler gets it."""

    request_id: str
    deadline: Deadline | None
    payload: bytes
    head: bytes = b""


ExchangeHandler = Callable[[Incoming], Awaitable[bytes]]


async def serve_exchange(
    stream: Stream, handler: ExchangeHandler, *, max_outstanding: int, peer_host: str | None = None
) -> None:
    """Work on the calls of one stream until its caller closes it or is lost.

    When it ends, calls still being worked on are cancelled. A caller whose ``peer_host`` is
    this host may have payloads in memory of its own.
    """
    regions = Regions(MOST_REGIONS) if is_this_host(peer_host) else None
    try:
        async with task_scope() as scope:
            served = _Served(stream, handler, max_outstanding, regions, scope)
            scope.spawn(served.write(), name="exchange answers")
            await stream.hear(served.heard)
    except PeerLost:
        log.debug("exchange caller lost")
    finally:
        if regions is not None:
            regions.close()


class _Served:
    """One stream."""

    def __init__(
        self,
        stream: Stream,
        handler: ExchangeHandler,
        max_outstanding: int,
        regions: Regions | None,
        scope: TaskScope,
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._scope = scope
        self._regions = regions
        self._max_outstanding = max_outstanding
        self._now = asyncio.get_running_loop().time
        self._running: dict[int, asyncio.Task[None]] = {}
        self._attached: deque[exchange_pb2.Call] = deque()
        """Calls whose payloads are the next messages."""
        self._answers: deque[tuple[int, ServingError | None, bytes]] = deque()
        self._wake = Bell()

    def heard(self, message: bytes) -> None:
        """Begin and end work as a message of the caller says."""
        if self._attached:
            self._begin(self._attached.popleft(), message)
            return
        calls = exchange_pb2.Calls.FromString(message)
        for call_id in calls.cancelled:
            # Forgotten here: a task that never began does not come to its end.
            running = self._running.pop(call_id, None)
            if running is not None:
                running.cancel()
        for call in calls.calls:
            if call.attached:
                self._attached.append(call)
            elif call.HasField("region"):
                self._begin_in_memory(call)
            else:
                self._begin(call, call.payload)

    def _begin_in_memory(self, call: exchange_pb2.Call) -> None:
        try:
            if self._regions is None:
                raise MemoryNotShared("the caller is not on this host")
            payload = self._regions.read(read_region(call.region), call.size)
        except MemoryNotShared as failure:
            self._answer(call.id, failure)
        else:
            self._begin(call, payload)

    def _begin(self, call: exchange_pb2.Call, payload: bytes) -> None:
        call_id = call.id
        if len(self._running) >= self._max_outstanding:
            refusal = Overloaded(f"{self._max_outstanding} calls are being worked on already")
            self._answer(call_id, refusal)
            return
        deadline = None
        if call.timeout_microseconds:
            deadline = Deadline.after(call.timeout_microseconds / 1e6, now=self._now())
        incoming = Incoming(call.request_id, deadline, payload, call.head)
        self._running[call_id] = self._scope.spawn(self._work(call_id, incoming), name="call")

    async def _work(self, call_id: int, incoming: Incoming) -> None:
        failure, payload = None, b""
        try:
            payload = await self._handler(incoming)
        except ServingError as refusal:
            failure = refusal
        except Exception:
            log.exception("call failed", request_id=incoming.request_id)
            failure = InternalError("internal error; the server's log has the details")
        finally:
            self._running.pop(call_id, None)
        self._answer(call_id, failure, payload)

    def _answer(self, call_id: int, failure: ServingError | None, payload: bytes = b"") -> None:
        self._answers.append((call_id, failure, payload))
        if not self._running and self._stream.is_free:
            # Nobody is at work whose answer could join it.
            self._stream.post(*self._next_messages())
        if self._answers:
            self._wake.ring()

    async def write(self) -> None:
        """Greet the caller, then send answers as they come, several in one message."""
        await self._stream.send(exchange_pb2.Answers().SerializeToString())
        while True:
            await self._wake.wait()
            while self._answers:
                await self._stream.send(*self._next_messages())

    def _next_messages(self) -> list[bytes]:
        """Answers that are ready, and the payloads that follow them."""
        message = exchange_pb2.Answers()
        attached: list[bytes] = []
        size = 0
        while self._answers and len(message.answers) < WRITE_CALLS and size < WRITE_BYTES:
            call_id, failure, payload = self._answers.popleft()
            if failure is not None:
                named = exchange_pb2.Failure(name=type(failure).__name__, message=failure.message)
                message.answers.add(id=call_id, failure=named)
            elif len(payload) >= ATTACHED_BYTES:
                message.answers.add(id=call_id, attached=True)
                attached.append(payload)
            else:
                message.answers.add(id=call_id, payload=payload)
            size += len(payload)
        return [message.SerializeToString(), *attached]
