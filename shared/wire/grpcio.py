"""The wire on grpcio's asyncio API."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote

import grpc
import structlog
from grpc_reflection.v1alpha import reflection

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, PeerLost, ServingError
from shared.wire.interface import (
    CLOSE_GRACE_SECONDS,
    MAX_MESSAGE_BYTES,
    CallContext,
    Channel,
    ConnectionAge,
    Metadata,
    Routes,
    Server,
    Stream,
    StreamHandler,
    UnaryHandler,
)
from shared.wire.status import (
    CODES,
    DETAILS_KEY,
    ERROR_NAME_KEY,
    OtherStatus,
    details_of,
    error_of,
    told,
)
from shared.wire.tls import ClientTls, ServerTls, client_context, content, server_context

log = structlog.get_logger()

_NOTHING: Metadata = {}
_CHANNEL_OPTIONS: Sequence[tuple[str, int | str]] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.enable_http_proxy", 0),
    # One connection per channel: a lost one is seen by its owner alone.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 5000),
    ("grpc.keepalive_timeout_ms", 5000),
)
_ServerContext = grpc.aio.ServicerContext[bytes, bytes]
_StreamCall = grpc.aio.StreamStreamCall[bytes, bytes]


class GrpcioWire:
    """Serves and calls with ``grpc.aio``."""

    @asynccontextmanager
    async def serve(
        self,
        routes: Routes,
        addresses: Sequence[str],
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        max_concurrent_calls: int | None = None,
        max_connection_age: ConnectionAge | None = None,
        reuse_port: bool = False,
        tls: ServerTls | None = None,
        reflect: Sequence[str] = (),
    ) -> AsyncIterator[Server]:
        """See ``Wire.serve``."""
        server = grpc.aio.server(
            handlers=[_Handlers(routes)],
            maximum_concurrent_rpcs=max_concurrent_calls,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", int(reuse_port)),
                # Peers may probe an idle connection this often.
                ("grpc.http2.min_recv_ping_interval_without_data_ms", 1000),
                ("grpc.keepalive_permit_without_calls", 1),
                *_age_options(max_connection_age),
            ],
        )
        if reflect:
            reflection.enable_server_reflection([*reflect, reflection.SERVICE_NAME], server)
        secret = None if tls is None else await asyncio.to_thread(_server_credentials, tls)
        bound = [_bind(server, address, secret) for address in addresses]
        await server.start()
        listening = _GrpcioServer(server, bound)
        try:
            yield listening
        finally:
            await listening.close(CLOSE_GRACE_SECONDS)

    @asynccontextmanager
    async def connect(
        self, address: str, *, tls: ClientTls | None = None
    ) -> AsyncIterator[Channel]:
        """See ``Wire.connect``."""
        if tls is None:
            channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        else:
            secret = await asyncio.to_thread(_channel_credentials, tls)
            options = list(_CHANNEL_OPTIONS)
            if tls.server_name is not None:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            channel = grpc.aio.secure_channel(address, secret, options=options)
        try:
            yield _GrpcioChannel(channel)
        finally:
            await channel.close()


def _age_options(age: ConnectionAge | None) -> Sequence[tuple[str, int]]:
    if age is None:
        return ()
    return (
        ("grpc.max_connection_age_ms", int(age.seconds * 1000)),
        ("grpc.max_connection_age_grace_ms", int(age.grace_seconds * 1000)),
    )


def _server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    # gRPC says nothing about files that it cannot use.
    server_context(tls)
    return grpc.ssl_server_credentials(
        [(content(tls.key), content(tls.certificate))],
        root_certificates=None if tls.client_ca is None else content(tls.client_ca),
        require_client_auth=tls.client_ca is not None,
    )


def _channel_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    client_context(tls)
    return grpc.ssl_channel_credentials(
        root_certificates=None if tls.ca is None else content(tls.ca),
        private_key=None if tls.key is None else content(tls.key),
        certificate_chain=None if tls.certificate is None else content(tls.certificate),
    )


def _bind(server: grpc.aio.Server, address: str, secret: grpc.ServerCredentials | None) -> str:
    try:
        if secret is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, secret)
    except RuntimeError as failure:
        raise OSError(f"cannot listen on {address}: is it in use?") from failure
    if address.startswith("unix-abstract:"):
        return address
    if address.startswith("unix:"):
        Path(address.removeprefix("unix:")).chmod(0o600)
        return address
    return f"{address.rpartition(':')[0]}:{port}"


class _GrpcioServer:
    def __init__(self, server: grpc.aio.Server, addresses: Sequence[str]) -> None:
        self._server = server
        self.addresses = addresses
        self._stopping: asyncio.Future[None] | None = None

    async def close(self, grace_seconds: float) -> None:
        # Once: grpcio's server cannot be stopped again, nor when a first stop was cancelled.
        if self._stopping is None:
            self._stopping = asyncio.ensure_future(self._server.stop(grace_seconds))
        await asyncio.shield(self._stopping)


class _Handlers(grpc.GenericRpcHandler):
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
        await context.abort(failure.code, failure.message)
    heard = told(failure)
    if not isinstance(failure, ServingError):
        log.error("handler failed", path=path, exc_info=failure)
    trailers = ((ERROR_NAME_KEY, type(heard).__name__), (DETAILS_KEY, details_of(heard)))
    await context.abort(CODES[type(heard)], heard.message, trailers)


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

    async def send(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError, grpc.aio.UsageError) as failure:
            raise PeerLost("the stream's other end is gone") from failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await _read(self._context)) is not None:
            yield message


async def _read(source: Any) -> bytes | None:
    """The next message of a stream; None at its end."""
    message = await source.read()
    return None if message is grpc.aio.EOF else message


class _GrpcioChannel:
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

    def stream(self, path: str) -> AbstractAsyncContextManager[Stream]:
        return _open_stream(self._channel.stream_stream(path)())


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

    async def send(self, message: bytes) -> None:
        try:
            await self._call.write(message)
        except grpc.aio.AioRpcError as failure:
            raise _error_of(failure) from failure
        except asyncio.InvalidStateError as failure:
            raise PeerLost("the stream's other end is gone") from failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while (message := await _read(self._call)) is not None:
                yield message
            code = await self._call.code()
            if code is not grpc.StatusCode.OK:
                name = _name_in(await self._call.trailing_metadata())
                raise error_of(code, await self._call.details() or code.name, name)
        except grpc.aio.AioRpcError as failure:
            raise _error_of(failure) from failure


def _error_of(failure: grpc.aio.AioRpcError) -> ServingError:
    name = _name_in(failure.trailing_metadata())
    return error_of(failure.code(), failure.details() or failure.code().name, name)


def _name_in(metadata: Any) -> str | None:
    return next((value for key, value in metadata or () if key == ERROR_NAME_KEY), None)
