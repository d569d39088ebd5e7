"""Our handlers as grpcio calls them, and what it tells them of the caller."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
import structlog

from shared.deadline import Deadline
from shared.errors import PeerLost, ServingError
from shared.wire.interface import CallContext, Routes, StreamHandler, UnaryHandler
from shared.wire.status import (
    DETAILS_KEY,
    ERROR_NAME_KEY,
    OtherStatus,
    details_of,
    number_of,
    told,
)

log = structlog.get_logger()

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_ServerContext = grpc.aio.ServicerContext[bytes, bytes]


class GrpcioHandlers(grpc.GenericRpcHandler):
    """The handlers of ``routes``."""

    def __init__(self, routes: Routes) -> None:
        self._handlers: dict[str, Any] = {
            path: grpc.unary_unary_rpc_method_handler(_unary(path, handler))
            for path, handler in routes.unary.items()
        } | {
            path: grpc.stream_stream_rpc_method_handler(_streaming(path, handler))
            for path, handler in routes.streams.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


def _unary(path: str, handler: UnaryHandler) -> Any:
    async def serve(message: bytes, context: _ServerContext) -> bytes:
        try:
            return await handler(_call_context(context), message)
        except Exception as failure:
            await _abort(path, context, failure)

    return serve


def _streaming(path: str, handler: StreamHandler) -> Any:
    async def serve(_: AsyncIterator[bytes], context: _ServerContext) -> None:
        try:
            await handler(_call_context(context), _ServedStream(context))
        except Exception as failure:
            await _abort(path, context, failure)

    return serve


async def _abort(path: str, context: _ServerContext, failure: Exception) -> NoReturn:
    if isinstance(failure, OtherStatus):
        await context.abort(_CODES[number_of(failure)], failure.message)
    heard = told(failure)
    if not isinstance(failure, ServingError):
        log.error("handler failed", path=path, exc_info=failure)
    trailers = ((ERROR_NAME_KEY, type(heard).__name__), (DETAILS_KEY, details_of(heard)))
    await context.abort(_CODES[number_of(heard)], heard.message, trailers)


def _call_context(context: _ServerContext) -> CallContext:
    left = context.time_remaining()
    now = asyncio.get_running_loop().time()
    metadata: dict[str, str] = {}
    binary: dict[str, bytes] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            metadata[key] = value
        else:
            binary[key] = value
    return CallContext(
        peer_host=_host(context.peer()),
        deadline=None if left is None else Deadline.after(left, now=now),
        metadata=metadata,
        binary_metadata=binary,
    )


def _host(peer: str) -> str:
    """``ipv4:127.0.0.1:4242`` or ``ipv6:%5B::1%5D:4242`` without family and port."""
    family, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]") if family.startswith("ipv") else ""


class _ServedStream:
    """The server's end of a stream."""

    def __init__(self, context: _ServerContext) -> None:
        self._context = context

    async def send(self, *messages: bytes, soon: bool = False) -> None:
        del soon
        try:
            for message in messages:
                await self._context.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError) as failure:
            raise PeerLost("the stream's other end is gone") from failure

    is_free = False

    def post(self, *messages: bytes) -> None:
        raise AssertionError("grpcio's writes have to be awaited")

    async def hear(self, take: Callable[[bytes], None]) -> None:
        async for message in self:
            take(message)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await read_from(self._context)) is not None:
            yield message


async def read_from(source: Any) -> bytes | None:
    """The next message of a stream; None at its end."""
    message = await source.read()
    return None if message is grpc.aio.EOF else message
