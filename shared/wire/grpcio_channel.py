"""A channel of grpcio as our callers see it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import grpc

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, PeerLost, ServingError
from shared.wire.grpcio_handlers import read_from
from shared.wire.interface import Metadata, Stream
from shared.wire.status import ERROR_NAME_KEY, error_of

_NOTHING: Metadata = {}
_StreamCall = grpc.aio.StreamStreamCall[bytes, bytes]


class GrpcioChannel:
    """See ``interface.Channel``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel

    async def call(
        self,
        path: str,
        message: bytes,
        *,
        deadline: Deadline | None = None,
        metadata: Metadata = _NOTHING,
    ) -> bytes:
        left = None
        if deadline is not None:
            left = deadline.remaining(asyncio.get_running_loop().time())
            if left == 0:
                raise DeadlineExceeded("the deadline passed before the call was sent")
        try:
            method: Any = self._channel.unary_unary(path)
            answer: bytes = await method(message, timeout=left, metadata=tuple(metadata.items()))
            return answer
        except grpc.aio.AioRpcError as failure:
            raise _error_of(failure) from failure

    def stream(
        self, path: str, *, deadline: Deadline | None = None, metadata: Metadata = _NOTHING
    ) -> AbstractAsyncContextManager[Stream]:
        left = None
        if deadline is not None:
            left = deadline.remaining(asyncio.get_running_loop().time())
        method: Any = self._channel.stream_stream(path)
        return _open_stream(method(timeout=left, metadata=tuple(metadata.items())))


@asynccontextmanager
async def _open_stream(call: _StreamCall) -> AsyncIterator[Stream]:
    try:
        yield _CalledStream(call)
    finally:
        call.cancel()


class _CalledStream:
    """The caller's end of a stream."""

    def __init__(self, call: _StreamCall) -> None:
        self._call = call

    async def send(self, *messages: bytes, soon: bool = False) -> None:
        del soon
        try:
            for message in messages:
                await self._call.write(message)
        except grpc.aio.AioRpcError as failure:
            raise _error_of(failure) from failure
        except asyncio.InvalidStateError as failure:
            raise PeerLost("the stream's other end is gone") from failure

    is_free = False

    def post(self, *messages: bytes) -> None:
        raise AssertionError("grpcio's writes have to be awaited")

    async def hear(self, take: Callable[[bytes], None]) -> None:
        async for message in self:
            take(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (message := await read_from(self._call)) is not None:
                yield message
            code = await self._call.code()
            if code is not grpc.StatusCode.OK:
                name = _name_in(await self._call.trailing_metadata())
                raise error_of(code.value[0], _reason(await self._call.details()), name)
        except grpc.aio.AioRpcError as failure:
            raise _error_of(failure) from failure


def _error_of(failure: grpc.aio.AioRpcError) -> ServingError:
    name = _name_in(failure.trailing_metadata())
    return error_of(failure.code().value[0], _reason(failure.details()), name)


def _reason(details: str | None) -> str:
    if details and details.startswith("failed to connect") and details.endswith("Socket closed"):
        return details + " before the peer said anything: one side may speak TLS without the other"
    return details or ""


def _name_in(metadata: Any) -> str | None:
    return next((value for key, value in metadata or () if key == ERROR_NAME_KEY), None)
