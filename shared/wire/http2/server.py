"""Serves handlers on HTTP/2 connections: the asyncio shell around the core."""

from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

from shared.errors import Overloaded, PeerLost, ServingError
from shared.wire.http2 import answers, grpc_messages
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.answers import FIRST, FIRST_COMPRESSED, GOOD_END
from shared.wire.http2.attended import Attended
from shared.wire.http2.calls import Call, Calls
from shared.wire.http2.compression import compressed, inflated
from shared.wire.http2.core import Connection
from shared.wire.http2.frames import Code
from shared.wire.http2.grpc_protocol import Request
from shared.wire.http2.headers import HeaderReader
from shared.wire.http2.limits import Limits
from shared.wire.http2.streams import MessageStream
from shared.wire.interface import StreamHandler, UnaryHandler
from shared.wire.status import OtherStatus, number_of, told

log = structlog.get_logger()

_LEAVE_SECONDS = 1.0
_WORTH_COMPRESSING = 1 << 10


class ServerConnection(Attended):
    """One client's connection, and the calls on it."""

    def __init__(self, calls: Calls, limits: Limits) -> None:
        super().__init__(calls, limits)
        self._core = Connection(
            self,
            HeaderReader(grpc.read_request, max_bytes=limits.max_header_bytes),
            is_client=False,
            limits=limits,
        )
        self._open: dict[int, Call] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for stream in list(self._open):
            self._forget(stream)

    def end_half_sent(self, before: float) -> None:
        """See ``Attended``."""
        for stream, call in list(self._open.items()):
            if call.task is None and call.heard_at < before:
                self._give_up(stream, call, answers.CANCELLED, "half a message came, and no more")

    # Handler of the core.

    def on_headers(self, stream: int, parsed: Request, *, end: bool) -> None:
        if stream in self._open:
            self._message_end(stream)
            return
        if parsed.fault is not None:
            self._finish(stream, answers.http_refusal_block(*parsed.fault))
            return
        unary = self._calls.routes.unary.get(parsed.path)
        handler = None if unary else self._calls.routes.streams.get(parsed.path)
        if unary is None and handler is None:
            self._end(stream, answers.UNIMPLEMENTED, f"unknown method {parsed.path}")
            return
        if not grpc_messages.knows_encoding(parsed.encoding):
            self._end(stream, answers.UNIMPLEMENTED, "messages may be compressed with gzip")
            return
        limit = self._calls.max_calls
        if limit is not None and len(self._calls.running) >= limit:
            self._end(
                stream, answers.RESOURCE_EXHAUSTED, f"{limit} calls are in progress", Overloaded
            )
            return
        reader = grpc_messages.MessageReader(self._calls.max_message_bytes, parsed.encoding)
        call = self._open[stream] = Call(parsed, reader, self._heard_at)
        if handler is not None:
            call.stream = MessageStream(
                self, stream, reader, max_bytes=self._calls.max_message_bytes
            )
            self._start(stream, call, self._serve_stream(stream, call, call.stream, handler))
        if end:
            self._message_end(stream)

    def on_data(self, stream: int, data: bytes, *, end: bool) -> None:
        call = self._open.get(stream)
        if call is None:
            self._core.consumed(stream, len(data))
            return
        if call.stream is not None:
            call.stream.feed(data)
        else:
            self._core.consumed(stream, len(data))
            self._unary_data(stream, call, data)
        if end:
            self._message_end(stream)

    def on_reset(self, stream: int, code: int) -> None:
        if stream in self._open:
            self._forget(stream)

    def on_drained(self, stream: int) -> None:
        call = self._open.get(stream)
        if call is not None and call.stream is not None:
            call.stream.drained()

    def on_goaway(self, last_stream: int, code: int) -> None:
        """The client opens no more streams; what is open goes on."""

    # Calls.

    def _unary_data(self, stream: int, call: Call, data: bytes) -> None:
        try:
            messages = call.reader.feed(data)
        except grpc_messages.MessageTooLarge as failure:
            self._give_up(stream, call, answers.RESOURCE_EXHAUSTED, str(failure))
            return
        except grpc_messages.BadMessage as failure:
            self._give_up(stream, call, answers.INTERNAL, str(failure))
            return
        if (call.task is not None and data) or len(messages) > 1:
            self._give_up(stream, call, answers.INTERNAL, "more than one message in a unary call")
            # As dear to us as a reset (CVE-2025-8671).
            self._core.nuisance.add(3)
        elif call.task is not None:
            return
        elif messages:
            if call.held_bytes:
                self._calls.hold(call, 0)
            self._unary(stream, call, messages[0])
        else:
            self._calls.hold(call, call.reader.held)
            call.heard_at = self._heard_at
            if self._calls.held_bytes > self._limits.max_held_bytes:
                reason = "too many messages are on their way"
                self._give_up(stream, call, answers.RESOURCE_EXHAUSTED, reason, Overloaded)

    def _forget(self, stream: int) -> None:
        """The client has left a call."""
        call = self._open.pop(stream)
        self._let_go(call)
        self._cancel(call)

    def _let_go(self, call: Call) -> None:
        """Nothing that has come for a call matters any more."""
        self._calls.hold(call, 0)
        if call.stream is not None:
            call.stream.abandon()

    def _unary(self, stream: int, call: Call, message: bytes) -> None:
        handler = self._calls.routes.unary[call.request.path]
        self._start(stream, call, self._serve_unary(stream, call, handler, message))

    def _message_end(self, stream: int) -> None:
        call = self._open.get(stream)
        if call is None:
            return
        if call.stream is not None:
            call.stream.end()
        elif call.task is None:
            self._give_up(stream, call, answers.INTERNAL, "a unary call without a whole message")

    def _start(self, stream: int, call: Call, work: Coroutine[Any, Any, None]) -> None:
        task = call.task = self._loop.create_task(work, name=call.request.path)
        self._calls.running.add(task)
        task.add_done_callback(self._calls.running.discard)
        if call.request.timeout is not None:
            # From its first header on, however long its message takes to come.
            timer = self._loop.call_at(
                call.came_at + call.request.timeout, self._expire, stream, call
            )
            task.add_done_callback(lambda _: timer.cancel())

    def _expire(self, stream: int, call: Call) -> None:
        """The client has given up by its own clock; nobody needs the answer."""
        if self._open.get(stream) is call:
            self._give_up(stream, call, answers.DEADLINE_EXCEEDED, "the deadline passed")

    def _give_up(
        self,
        stream: int,
        call: Call,
        status: int,
        reason: str,
        kind: type[ServingError] | None = None,
    ) -> None:
        self._cancel(call)
        self._end(stream, status, reason, kind)

    @staticmethod
    def _cancel(call: Call) -> None:
        if call.stream is not None:
            call.stream.lose(PeerLost("the caller left"))
        if call.task is not None:
            call.task.cancel()

    async def _serve_unary(
        self, stream: int, call: Call, handler: UnaryHandler, message: bytes
    ) -> None:
        try:
            if type(message) is grpc_messages.Deflated:
                message = await inflated(message, self._calls.max_message_bytes)
            answer = await handler(call.context(self._peer_host), message)
        except Exception as failure:
            self._fail(stream, call.request.path, failure)
            return
        if call.request.encoding == b"gzip" and len(answer) >= _WORTH_COMPRESSING:
            # As the question came, so goes the answer.
            packed = await compressed(answer)
            if stream in self._open:
                self._core.send_headers(stream, FIRST_COMPRESSED)
                self._core.send_data(stream, packed)
                self._finish(stream, GOOD_END)
        elif stream in self._open:
            self._core.send_headers(stream, FIRST)
            self._core.send_message(stream, grpc_messages.message_prefix(answer), answer)
            # Alone, no other answer could join it.
            self._finish(stream, GOOD_END, at_once=len(self._open) == 1)

    async def _serve_stream(
        self, stream: int, call: Call, served: MessageStream, handler: StreamHandler
    ) -> None:
        try:
            await handler(call.context(self._peer_host), served)
        except Exception as failure:
            self._fail(stream, call.request.path, failure)
            return
        if stream in self._open:
            if not served.begun:
                self._core.send_headers(stream, FIRST)
            self._finish(stream, GOOD_END)

    def _fail(self, stream: int, path: str, failure: Exception) -> None:
        if isinstance(failure, OtherStatus):
            self._end(stream, number_of(failure), failure.message)
            return
        heard = told(failure)
        self._end(stream, number_of(heard), heard.message, type(heard))
        if not isinstance(failure, ServingError):
            log.error("handler failed", path=path, exc_info=failure)

    def _end(
        self, stream: int, status: int, reason: str, kind: type[ServingError] | None = None
    ) -> None:
        """End a call with a status."""
        call = self._open.get(stream)
        begun = call is not None and call.stream is not None and call.stream.begun
        self._finish(stream, answers.failure_block(status, reason, kind, begun=begun))

    def _finish(self, stream: int, trailers: bytes, *, at_once: bool = False) -> None:
        call = self._open.pop(stream, None)
        if call is not None and (call.held_bytes or call.stream is not None):
            self._let_go(call)
        self._core.send_trailers(stream, trailers)
        if self._core.is_open(stream):
            # The client is still sending. It will stop when it reads the answer; a
            # reset that overtakes it would make some clients forget the answer.
            self._loop.call_later(_LEAVE_SECONDS, self._leave, stream)
        if at_once:
            self.flush()
        else:
            self.flush_soon()

    def _leave(self, stream: int) -> None:
        """The answer is complete. A client that is still sending need not go on."""
        if self._core.is_open(stream) and not self._core.has_waiting(stream):
            self._core.reset(stream, Code.NO_ERROR)
            self.flush_soon()

    def send_on(self, stream: int, messages: Sequence[bytes], *, first: bool, soon: bool) -> bool:
        """See ``StreamCarrier``."""
        if first:
            self._core.send_headers(stream, FIRST)
        return super().send_on(stream, messages, first=first, soon=soon)
