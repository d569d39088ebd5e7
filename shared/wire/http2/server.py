"""Serves handlers on HTTP/2 connections: the asyncio shell around the core."""

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import structlog

from shared.deadline import Deadline
from shared.errors import InternalError, Overloaded, PeerLost, ServingError
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.core import Connection, Limits, ProtocolFault
from shared.wire.http2.frames import Code
from shared.wire.http2.grpc_protocol import Request
from shared.wire.http2.headers import HeaderReader, HeaderWriter
from shared.wire.http2.streams import MessageStream
from shared.wire.interface import CallContext, Routes, StreamHandler, UnaryHandler
from shared.wire.status import ERROR_NAME_KEY, number_of

log = structlog.get_logger()

_WRITE_HIGH_BYTES = 1 << 20
_LEAVE_SECONDS = 1.0
_UNIMPLEMENTED, _UNKNOWN_STATUS, _RESOURCE_EXHAUSTED = 12, 2, 8
_INTERNAL_STATUS = 13
_FIRST_BLOCK = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_OK = ((b"grpc-status", b"0"),)
_writer = HeaderWriter()
_FIRST = _writer.write(_FIRST_BLOCK)
_GOOD_END = _writer.write(_OK)


class Calls:
    """What all connections of one server share: handlers, limits, calls in progress."""

    def __init__(self, routes: Routes, *, max_message_bytes: int, max_calls: int | None) -> None:
        self.routes = routes
        self.max_message_bytes = max_message_bytes
        self.max_calls = max_calls
        self.running: set[asyncio.Task[None]] = set()
        self.connections: set[ServerConnection] = set()


class _Call:
    """One call, from its headers to its trailers."""

    __slots__ = ("reader", "request", "stream", "task")

    def __init__(self, request: Request, reader: grpc.MessageReader) -> None:
        self.request = request
        self.reader = reader
        self.task: asyncio.Task[None] | None = None
        self.stream: MessageStream | None = None


class ServerConnection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, calls: Calls, limits: Limits) -> None:
        self._calls = calls
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._core: Connection[Request] = Connection(
            self,
            HeaderReader(grpc.read_request, max_bytes=limits.max_header_bytes),
            is_client=False,
            limits=limits,
        )
        self._transport: asyncio.Transport | None = None
        self._open: dict[int, _Call] = {}
        self._peer_host = ""
        self._flushing = False
        self.writable = asyncio.Event()
        self.writable.set()
        self._heard_at = self._tended_at = self._progress_at = self._loop.time()
        self._stalled_bytes = 0
        self._pinged = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer_host = str(peer[0]) if isinstance(peer, tuple) else ""
        transport.set_write_buffer_limits(high=_WRITE_HIGH_BYTES)
        self._calls.connections.add(self)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            self._core.receive(data)
        except ProtocolFault as fault:
            log.info("connection refused", peer=self._peer_host, reason=fault.reason)
            self._core.go_away(fault.code, fault.reason)
            self.close()
            return
        self.flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._calls.connections.discard(self)
        self.writable.set()
        for call in self._open.values():
            self._cancel(call)
        self._open.clear()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    # What the server asks of a connection.

    def flush(self) -> None:
        """Write what the core has collected."""
        self._flushing = False
        output = self._core.take_output()
        if output and self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(output)

    def flush_soon(self) -> None:
        """Write at the end of this turn of the loop, together with what others add."""
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self.flush)

    def drain(self) -> None:
        """Tell the client to take its next calls elsewhere."""
        self._core.go_away()
        self.flush()

    def tend(self) -> None:
        """To be called every few seconds: ends clients that stall, or are silent, for too long."""
        now = self._loop.time()
        self._core.forgive(int((now - self._tended_at) * self._limits.forgiven_per_second))
        self._tended_at = now
        stalled = self._core.stalled_bytes
        if not stalled or stalled != self._stalled_bytes:
            self._stalled_bytes, self._progress_at = stalled, now
        if now - self._progress_at > self._limits.stalled_seconds:
            self._end_connection("data waited for its window for too long")
            return
        silent = now - self._heard_at
        if silent < self._limits.silent_seconds:
            self._pinged = False
        elif not self._pinged:
            self._pinged = True
            self._core.ping()
            self.flush()
        elif silent > 2 * self._limits.silent_seconds:
            self._end_connection("silent for too long")

    def _end_connection(self, reason: str) -> None:
        log.info("connection ended", peer=self._peer_host, reason=reason)
        self._core.go_away(Code.ENHANCE_YOUR_CALM, reason)
        self.flush()
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """End the connection and every call on it."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    # Handler of the core.

    def on_headers(self, stream: int, parsed: Request, *, end: bool) -> None:
        if stream in self._open:
            self._message_end(stream)
            return
        if parsed.fault is not None:
            self._refuse_http(stream, *parsed.fault)
            return
        unary = self._calls.routes.unary.get(parsed.path)
        handler = None if unary else self._calls.routes.streams.get(parsed.path)
        if unary is None and handler is None:
            self._end(stream, _UNIMPLEMENTED, f"unknown method {parsed.path}")
            return
        if not grpc.knows_encoding(parsed.encoding):
            self._end(stream, _UNIMPLEMENTED, "messages may be compressed with gzip")
            return
        limit = self._calls.max_calls
        if limit is not None and len(self._calls.running) >= limit:
            self._end(stream, _RESOURCE_EXHAUSTED, f"{limit} calls are in progress", Overloaded)
            return
        call = _Call(parsed, grpc.MessageReader(self._calls.max_message_bytes, parsed.encoding))
        self._open[stream] = call
        if handler is not None:
            call.stream = MessageStream(self, stream)
            self._start(stream, call, self._serve_stream(stream, call.stream, handler, parsed))
        if end:
            self._message_end(stream)

    def on_data(self, stream: int, data: bytes, *, end: bool) -> None:
        call = self._open.get(stream)
        if call is None:
            self._core.consumed(stream, len(data))
            return
        try:
            messages = call.reader.feed(data)
        except grpc.MessageTooLarge as failure:
            self._give_up(stream, call, _RESOURCE_EXHAUSTED, str(failure))
            return
        except grpc.BadMessage as failure:
            self._give_up(stream, call, _INTERNAL_STATUS, str(failure))
            return
        if call.stream is not None:
            call.stream.feed(messages, len(data))
        else:
            self._core.consumed(stream, len(data))
            for message in messages:
                self._unary(stream, call, message)
        if end:
            self._message_end(stream)

    def on_reset(self, stream: int, code: int) -> None:
        call = self._open.pop(stream, None)
        if call is not None:
            self._cancel(call)

    def on_drained(self, stream: int) -> None:
        call = self._open.get(stream)
        if call is not None and call.stream is not None:
            call.stream.drained()

    def on_goaway(self, last_stream: int, code: int) -> None:
        """The client opens no more streams; what is open goes on."""

    # Calls.

    def _unary(self, stream: int, call: _Call, message: bytes) -> None:
        if call.task is not None:
            self._give_up(stream, call, _INTERNAL_STATUS, "more than one message in a unary call")
            return
        handler = self._calls.routes.unary[call.request.path]
        self._start(stream, call, self._serve_unary(stream, handler, call.request, message))

    def _message_end(self, stream: int) -> None:
        call = self._open.get(stream)
        if call is None:
            return
        if call.stream is not None:
            call.stream.end()
        elif call.task is None:
            self._give_up(stream, call, _INTERNAL_STATUS, "a unary call without a whole message")

    def _start(self, stream: int, call: _Call, work: Coroutine[Any, Any, None]) -> None:
        task = call.task = self._loop.create_task(work, name=call.request.path)
        self._calls.running.add(task)
        task.add_done_callback(self._calls.running.discard)
        if call.request.timeout is not None:
            timer = self._loop.call_later(call.request.timeout, self._expire, stream, call)
            task.add_done_callback(lambda _: timer.cancel())

    def _expire(self, stream: int, call: _Call) -> None:
        """The client has given up by its own clock; nobody needs the answer."""
        if self._open.get(stream) is call:
            self._give_up(stream, call, 4, "the deadline passed")

    def _give_up(self, stream: int, call: _Call, status: int, reason: str) -> None:
        self._cancel(call)
        self._end(stream, status, reason)

    @staticmethod
    def _cancel(call: _Call) -> None:
        if call.stream is not None:
            call.stream.lose(PeerLost("the caller left"))
        if call.task is not None:
            call.task.cancel()

    def _context(self, request: Request) -> CallContext:
        deadline = None
        if request.timeout is not None:
            deadline = Deadline.after(request.timeout, now=self._loop.time())
        return CallContext(self._peer_host, deadline, request.metadata)

    async def _serve_unary(
        self, stream: int, handler: UnaryHandler, request: Request, message: bytes
    ) -> None:
        try:
            answer = await handler(self._context(request), message)
        except Exception as failure:
            self._fail(stream, request.path, failure)
            return
        if stream in self._open:
            self._core.send_headers(stream, _FIRST)
            self._core.send_message(stream, grpc.message_prefix(answer), answer)
            self._finish(stream, _GOOD_END)

    async def _serve_stream(
        self, stream: int, served: MessageStream, handler: StreamHandler, request: Request
    ) -> None:
        try:
            await handler(self._context(request), served)
        except Exception as failure:
            self._fail(stream, request.path, failure)
            return
        if stream in self._open:
            if not served.begun:
                self._core.send_headers(stream, _FIRST)
            self._finish(stream, _GOOD_END)

    def _fail(self, stream: int, path: str, failure: Exception) -> None:
        if isinstance(failure, ServingError):
            self._end(stream, number_of(failure), failure.message, type(failure))
            return
        # The text of an unforeseen exception may name anything: it stays in the log.
        unforeseen = InternalError("internal error; the server's log has the details")
        self._end(stream, number_of(unforeseen), unforeseen.message, InternalError)
        log.error("handler failed", path=path, exc_info=failure)

    def _end(
        self, stream: int, status: int, reason: str, kind: type[ServingError] | None = None
    ) -> None:
        """End a call with a status; on a stream that has not answered yet, in one block."""
        call = self._open.get(stream)
        begun = call is not None and call.stream is not None and call.stream.begun
        headers: tuple[tuple[bytes, bytes], ...] = () if begun else _FIRST_BLOCK
        headers += ((b"grpc-status", b"%d" % status), (b"grpc-message", grpc.write_message(reason)))
        if kind is not None:
            headers += ((ERROR_NAME_KEY.encode(), kind.__name__.encode()),)
        self._finish(stream, _writer.write(headers))

    def _refuse_http(self, stream: int, status: int, reason: str) -> None:
        block = _writer.write(
            (
                (b":status", b"%d" % status),
                (b"grpc-status", b"%d" % _UNKNOWN_STATUS),
                (b"grpc-message", grpc.write_message(reason)),
            )
        )
        self._finish(stream, block)

    def _finish(self, stream: int, trailers: bytes) -> None:
        self._open.pop(stream, None)
        self._core.send_trailers(stream, trailers)
        if self._core.is_open(stream):
            # The client is still sending. It will stop when it reads the answer; a
            # reset that overtakes it would make some clients forget the answer.
            self._loop.call_later(_LEAVE_SECONDS, self._leave, stream)
        self.flush_soon()

    def _leave(self, stream: int) -> None:
        """The answer is complete. A client that is still sending need not go on."""
        if self._core.is_open(stream) and not self._core.has_waiting(stream):
            self._core.reset(stream, Code.NO_ERROR)
            self.flush_soon()

    # What a stream asks of its connection.

    def send_on(self, stream: int, message: bytes, *, first: bool) -> bool:
        if first:
            self._core.send_headers(stream, _FIRST)
        sent = self._core.send_message(stream, grpc.message_prefix(message), message)
        self.flush_soon()
        return sent

    def consumed_on(self, stream: int, count: int) -> None:
        self._core.consumed(stream, count)
        self.flush_soon()
