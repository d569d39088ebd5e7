"""Calls over one HTTP/2 connection: the asyncio shell around the core."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, InternalError, PeerLost, ServingError, Unavailable
from shared.wire.http2 import grpc_messages
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.carrier import Carrier
from shared.wire.http2.compression import inflated
from shared.wire.http2.core import Connection
from shared.wire.http2.frames import Code
from shared.wire.http2.grpc_protocol import Response
from shared.wire.http2.headers import HeaderReader, HeaderWriter
from shared.wire.http2.limits import Limits, ProtocolFault
from shared.wire.http2.streams import MessageStream
from shared.wire.interface import MAX_MESSAGE_BYTES, Metadata
from shared.wire.status import ERROR_NAME_KEY, error_of

_writer = HeaderWriter()
_NOTHING: Metadata = {}


class NotTaken(Exception):
    """The server has not looked at a call, and never will."""


class _Call:
    """A call on its way: a future for a unary one, a stream for the other kind."""

    __slots__ = ("answer", "message", "reader", "stream")

    def __init__(self, answer: asyncio.Future[bytes] | None, stream: MessageStream | None) -> None:
        self.answer = answer
        self.stream = stream
        self.message: bytes | None = None
        self.reader = grpc_messages.MessageReader(MAX_MESSAGE_BYTES, b"gzip")

    def fail(self, failure: ServingError) -> None:
        if self.stream is not None:
            self.stream.lose(failure)
        elif self.answer is not None and not self.answer.done():
            self.answer.set_exception(failure)

    def not_taken(self) -> None:
        """The server will not look at it."""
        reason = "the peer takes no more calls"
        if self.stream is not None:
            self.stream.lose(Unavailable(reason))
        elif self.answer is not None and not self.answer.done():
            self.answer.set_exception(NotTaken(reason))


class ClientConnection(Carrier[Response]):
    """A connection to a server; unusable once ``closed``."""

    def __init__(self, authority: str, limits: Limits, *, scheme: str = "http") -> None:
        super().__init__()
        self._scheme = scheme.encode()
        self._authority = authority.encode()
        self._core = Connection(
            self,
            HeaderReader(grpc.read_response, max_bytes=limits.max_header_bytes),
            is_client=True,
            limits=limits,
        )
        self._calls: dict[int, _Call] = {}
        self._blocks: dict[str, bytes] = {}
        self._heard = True
        self._ever_heard = False
        self._keepalive_seconds = limits.keepalive_seconds
        self._forgiven = int(limits.keepalive_seconds * limits.forgiven_per_second)
        self._timer: asyncio.TimerHandle | None = None
        self.closed = False

    @property
    def usable(self) -> bool:
        """Whether a new call can be made on it."""
        return not self.closed and not self._core.closing

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._timer = self._loop.call_later(self._keepalive_seconds, self._keep_alive)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._heard = self._ever_heard = True
        try:
            self._core.receive(data)
        except ProtocolFault as fault:
            self._core.go_away(fault.code, fault.reason)
            self._lose(PeerLost(f"the connection broke: {fault.reason}"))
            return
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        reason = "the connection broke" if self._ever_heard else self._unheard_reason()
        self._transport = None
        self._lose(PeerLost(reason))

    def _unheard_reason(self) -> str:
        """Why a peer closes a connection before it says anything, as far as can be told."""
        if self._scheme == b"http":
            return "the peer closed the connection before it said anything: it may speak TLS"
        return (
            "the peer closed the connection before it said anything:"
            " it may want another certificate than this side has"
        )

    def close(self) -> None:
        """End the connection; calls on it are lost."""
        self._lose(PeerLost("the connection was closed"))

    def _lose(self, failure: ServingError) -> None:
        self.closed = True
        self.writable.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self.flush()
            self._transport.close()
            self._transport = None
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.fail(failure)

    def _keep_alive(self) -> None:
        """A peer that says nothing, not even to a ping, is gone."""
        if not self._heard:
            self._lose(PeerLost("the connection is silent"))
            return
        self._heard = False
        self._core.nuisance.forgive(self._forgiven)
        self._core.ping()
        self.flush()
        self._timer = self._loop.call_later(self._keepalive_seconds, self._keep_alive)

    # Calls.

    async def call(
        self, path: str, message: bytes, deadline: Deadline | None, metadata: Metadata
    ) -> bytes:
        """One request, one answer."""
        answer: asyncio.Future[bytes] = self._loop.create_future()
        number = self._open(path, deadline, metadata, _Call(answer, None))
        self._core.send_message(number, grpc_messages.message_prefix(message), message, end=True)
        self.flush_soon()
        timer = None
        if deadline is not None:
            timer = self._loop.call_at(deadline.at, _expire, answer)
        try:
            message = await answer
            if type(message) is grpc_messages.Deflated:
                return await inflated(message, MAX_MESSAGE_BYTES)
            return message
        finally:
            if timer is not None:
                timer.cancel()
            self._forget(number)

    @asynccontextmanager
    async def stream(
        self, path: str, deadline: Deadline | None = None, metadata: Metadata = _NOTHING
    ) -> AsyncIterator[MessageStream]:
        """A stream; leaving, and its deadline, end it on both sides."""
        call = _Call(None, None)
        number = self._open(path, deadline, metadata, call)
        call.stream = MessageStream(self, number, call.reader, max_bytes=MAX_MESSAGE_BYTES)
        self.flush_soon()
        timer = None
        if deadline is not None:
            late = DeadlineExceeded("the deadline passed")
            timer = self._loop.call_at(deadline.at, call.stream.lose, late)
        try:
            yield call.stream
        finally:
            if timer is not None:
                timer.cancel()
            call.stream.abandon()
            self._forget(number)

    def _open(self, path: str, deadline: Deadline | None, metadata: Metadata, call: _Call) -> int:
        if not self.usable or self._core.open_streams >= self._core.peer_max_streams:
            raise Unavailable("the connection takes no more calls")
        block = self._blocks.get(path)
        if block is None:
            block = self._blocks[path] = _writer.write(
                (
                    (b":method", b"POST"),
                    (b":scheme", self._scheme),
                    (b":path", path.encode()),
                    (b":authority", self._authority),
                    (b"content-type", b"application/grpc"),
                    (b"te", b"trailers"),
                    (b"grpc-accept-encoding", b"identity,gzip"),
                )
            )
        if deadline is not None:
            left = grpc.write_timeout(deadline.remaining(self._loop.time()))
            block += _writer.write(((b"grpc-timeout", left),))
        if metadata:
            block += _writer.write(grpc.write_metadata(metadata))
        number = self._core.open_stream(block, end=False)
        self._calls[number] = call
        return number

    def _forget(self, number: int) -> None:
        """A call is over for its caller: if the server does not know yet, it hears now."""
        self._calls.pop(number, None)
        if self._core.is_open(number):
            self._core.reset(number, Code.CANCEL)
            self.flush_soon()

    # Handler of the core.

    def on_headers(self, stream: int, parsed: Response, *, end: bool) -> None:
        call = self._calls.get(stream)
        if call is None:
            return
        if parsed.http_status not in (None, 200):
            call.fail(PeerLost(f"the peer answered with HTTP status {parsed.http_status}"))
            return
        if not end:
            return
        if parsed.grpc_status is None:
            call.fail(InternalError("the peer ended a call without a status"))
        elif parsed.grpc_status:
            name = parsed.metadata.get(ERROR_NAME_KEY)
            call.fail(error_of(parsed.grpc_status, parsed.message, name))
        elif call.stream is not None:
            call.stream.end()
        elif call.answer is not None and not call.answer.done():
            if call.message is None:
                call.fail(InternalError("the peer answered without a message"))
            else:
                call.answer.set_result(call.message)

    def on_data(self, stream: int, data: bytes, *, end: bool) -> None:
        call = self._calls.get(stream)
        if call is None:
            self._core.consumed(stream, len(data))
            return
        if call.stream is not None:
            call.stream.feed(data)
        else:
            self._core.consumed(stream, len(data))
            try:
                for message in call.reader.feed(data):
                    call.message = message
            except (grpc_messages.BadMessage, grpc_messages.MessageTooLarge) as failure:
                call.fail(InternalError(str(failure)))
                self._forget(stream)
                return
        if end:
            call.fail(InternalError("the peer ended a call without a status"))

    def on_reset(self, stream: int, code: int) -> None:
        call = self._calls.pop(stream, None)
        if call is None:
            return
        if code == Code.REFUSED_STREAM:
            call.not_taken()
        else:
            call.fail(PeerLost(f"the peer ended the call ({Code.text_of(code)})"))

    def on_drained(self, stream: int) -> None:
        call = self._calls.get(stream)
        if call is not None and call.stream is not None:
            call.stream.drained()

    def on_goaway(self, last_stream: int, code: int) -> None:
        for number in [each for each in self._calls if each > last_stream]:
            self._calls.pop(number).not_taken()
            self._core.reset(number, Code.CANCEL)


def _expire(answer: asyncio.Future[bytes]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("the deadline passed"))
