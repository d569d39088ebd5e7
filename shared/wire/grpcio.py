"""The wire on grpcio's asyncio API."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_reflection.v1alpha import reflection

from shared.wire.grpcio_channel import GrpcioChannel
from shared.wire.grpcio_handlers import GrpcioHandlers
from shared.wire.interface import (
    CLOSE_GRACE_SECONDS,
    MAX_MESSAGE_BYTES,
    Channel,
    ConnectionAge,
    Routes,
    Server,
)
from shared.wire.tls import ClientTls, ServerTls, client_context, content, server_context

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
            handlers=[GrpcioHandlers(routes)],
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
        self, address: str, *, tls: ClientTls | None = None, unread_bytes: int | None = None
    ) -> AsyncIterator[Channel]:
        """See ``Wire.connect``."""
        options: list[tuple[str, int | str]] = list(_CHANNEL_OPTIONS)
        if unread_bytes is not None:
            options.append(("grpc.http2.lookahead_bytes", unread_bytes))
        if tls is None:
            channel = grpc.aio.insecure_channel(address, options=options)
        else:
            secret = await asyncio.to_thread(_channel_credentials, tls)
            if tls.server_name is not None:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            channel = grpc.aio.secure_channel(address, secret, options=options)
        try:
            yield GrpcioChannel(channel)
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
