"""Handlers that grpclib's generator made a base class for, served on any of our wires.

``protoc --grpclib_python_out`` writes a class for each service; whoever fills in its methods
gets a stream with grpclib's own interface (https://grpclib.readthedocs.io), and what was made
for it serves here too. Its own health and reflection services are the exception: their messages
have the names of grpcio's, and protobuf knows each name once in a process.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from google.protobuf.message import DecodeError, Message
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError
from grpclib.metadata import Deadline
from multidict import MultiDict

from shared.errors import InvalidRequest
from shared.wire.interface import CallContext, Routes, Stream, StreamHandler, UnaryHandler
from shared.wire.status import OtherStatus


class Service(Protocol):
    """An instance of a generated class."""

    def __mapping__(self) -> Mapping[str, Handler]:
        """Handlers by method path."""


def routes_of(service: Service) -> Routes:
    """What to serve for ``service``.

    Its methods may raise grpclib's GRPCError with any status, and our ServingErrors. Messages
    of ours carry no metadata of handlers: sending some raises ProtocolError.
    """
    unary: dict[str, UnaryHandler] = {}
    streams: dict[str, StreamHandler] = {}
    for path, handler in service.__mapping__().items():
        if handler.cardinality is Cardinality.UNARY_UNARY:
            unary[path] = _unary(handler)
        else:
            streams[path] = _streaming(handler)
    return Routes(unary, streams)


def _unary(handler: Handler) -> UnaryHandler:
    async def serve(context: CallContext, message: bytes) -> bytes:
        call = _Unary(handler, context, message)
        await _run(handler, call)
        return call.answer()

    return serve


def _streaming(handler: Handler) -> StreamHandler:
    async def serve(context: CallContext, stream: Stream) -> None:
        call = _Streaming(handler, context, stream)
        await _run(handler, call)
        if not handler.cardinality.server_streaming and not call.sent:
            raise ProtocolError("the handler sent no answer")

    return serve


async def _run(handler: Handler, call: "_Call") -> None:
    try:
        await handler.func(call)
    except GRPCError as failure:
        if failure.status is not Status.OK:
            raise OtherStatus(failure.status, failure.message or "") from failure


class _Call:
    """The part of ``grpclib.server.Stream`` that handlers use."""

    user_agent: str | None

    def __init__(self, handler: Handler, context: CallContext) -> None:
        self._handler = handler
        self.sent = 0
        self.metadata: MultiDict[str | bytes] = MultiDict(context.metadata)
        self.metadata.update(context.binary_metadata)
        self.user_agent = context.metadata.get("user-agent")
        self.deadline: Deadline | None = None
        if context.deadline is not None:
            left = context.deadline.at - asyncio.get_running_loop().time()
            self.deadline = Deadline.from_timeout(left)

    async def recv_message(self) -> Message | None:
        """The caller's next message; None when there are no more."""
        data = await self._next()
        if data is None:
            return None
        try:
            message: Message = self._handler.request_type.FromString(data)
        except DecodeError as failure:
            name = self._handler.request_type.DESCRIPTOR.full_name
            raise InvalidRequest(f"not a {name}") from failure
        return message

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self.recv_message()) is not None:
            yield message

    async def send_message(self, message: Message) -> None:
        """Answer; more than once only where the method streams."""
        if self.sent and not self._handler.cardinality.server_streaming:
            raise ProtocolError("the answer was sent already")
        self.sent += 1
        await self._send(message.SerializeToString())

    async def send_initial_metadata(self, *, metadata: Any = None) -> None:
        """Nothing to do: the wire begins the answer with its first message."""
        _refuse(metadata)

    async def send_trailing_metadata(
        self,
        *,
        status: Status = Status.OK,
        status_message: str | None = None,
        status_details: Any = None,
        metadata: Any = None,
    ) -> None:
        """End the call with a status."""
        _refuse(metadata or status_details)
        if status is not Status.OK:
            raise GRPCError(status, status_message)

    async def _next(self) -> bytes | None:
        raise NotImplementedError

    async def _send(self, message: bytes) -> None:
        raise NotImplementedError


class _Unary(_Call):
    def __init__(self, handler: Handler, context: CallContext, message: bytes) -> None:
        super().__init__(handler, context)
        self._message: bytes | None = message
        self._answer = b""

    async def _next(self) -> bytes | None:
        message, self._message = self._message, None
        return message

    async def _send(self, message: bytes) -> None:
        self._answer = message

    def answer(self) -> bytes:
        if not self.sent:
            raise ProtocolError("the handler sent no answer")
        return self._answer


class _Streaming(_Call):
    def __init__(self, handler: Handler, context: CallContext, stream: Stream) -> None:
        super().__init__(handler, context)
        self._stream = stream
        self._messages = aiter(stream)

    async def _next(self) -> bytes | None:
        return await anext(self._messages, None)

    async def _send(self, message: bytes) -> None:
        await self._stream.send(message)


def _refuse(metadata: Any) -> None:
    if metadata:
        raise ProtocolError("metadata of handlers is not sent on this wire")
