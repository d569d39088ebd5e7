"""The wire on our own HTTP/2: gRPC without grpcio's machinery per call."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from shared.tasks import task_scope
from shared.wire.http2.calls import Calls
from shared.wire.http2.limits import Limits
from shared.wire.http2.server import ServerConnection
from shared.wire.interface import (
    CLOSE_GRACE_SECONDS,
    MAX_MESSAGE_BYTES,
    Channel,
    ConnectionAge,
    Routes,
    Server,
)
from shared.wire.native_channel import NativeChannel
from shared.wire.reflection import reflection_routes
from shared.wire.tls import (
    ClientTls,
    ServerTls,
    client_context,
    server_context,
)
from shared.wire.unix_sockets import remove, remove_abandoned, unix_path

_BACKLOG = 1024


class NativeWire:
    """Serves and calls with ``shared.wire.http2``."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

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
        if reflect:
            routes = routes | reflection_routes(reflect)
        calls = Calls(
            routes,
            max_message_bytes=max_message_bytes,
            max_calls=max_concurrent_calls,
            max_age=max_connection_age,
        )
        tend_seconds = self._limits.tend_seconds
        if max_connection_age is not None:
            tend_seconds = min(tend_seconds, max_connection_age.seconds / 10)
        secret = None if tls is None else await asyncio.to_thread(server_context, tls)
        async with AsyncExitStack() as stack:
            servers, bound = [], []
            for address in addresses:
                is_file = address.startswith("unix:")
                if is_file:
                    await asyncio.to_thread(remove_abandoned, address)
                listening = _listen(address, reuse_port=reuse_port)
                stack.callback(listening.close)
                if is_file:
                    stack.push_async_callback(asyncio.to_thread, remove, address)
                server = await _serve_on(listening, calls, self._limits, secret)
                servers.append(server)
                bound.append(_address_of(listening, address))
            listener = _NativeServer(servers, calls, bound)
            try:
                async with task_scope() as scope:
                    scope.spawn(_tend(calls, tend_seconds), name="connections")
                    yield listener
            finally:
                await listener.close(CLOSE_GRACE_SECONDS)

    @asynccontextmanager
    async def connect(
        self, address: str, *, tls: ClientTls | None = None, unread_bytes: int | None = None
    ) -> AsyncIterator[Channel]:
        """See ``Wire.connect``."""
        secret = None if tls is None else await asyncio.to_thread(client_context, tls)
        name = None if tls is None else tls.server_name
        limits = self._limits
        if unread_bytes is not None:
            limits = replace(limits, stream_window=unread_bytes)
        channel = NativeChannel(address, limits, secret, name)
        try:
            yield channel
        finally:
            channel.close()


async def _tend(calls: Calls, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        for connection in list(calls.connections):
            connection.tend()


def _listen(address: str, *, reuse_port: bool) -> socket.socket:
    """A bound socket; raises OSError naming the address."""
    is_unix = address.startswith("unix")
    host, _, port = address.rpartition(":")
    family = socket.AF_UNIX if is_unix else socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        if is_unix:
            listening.bind(unix_path(address))
            if address.startswith("unix:"):
                Path(address.removeprefix("unix:")).chmod(0o600)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(reuse_port))
            listening.bind((host.strip("[]"), int(port)))
    except OSError as failure:
        listening.close()
        raise OSError(f"cannot listen on {address}: {failure.strerror}") from failure
    listening.setblocking(False)
    return listening


async def _serve_on(
    listening: socket.socket, calls: Calls, limits: Limits, secret: ssl.SSLContext | None
) -> asyncio.Server:
    def make() -> ServerConnection:
        return ServerConnection(calls, limits)

    loop = asyncio.get_running_loop()
    patience = None if secret is None else limits.handshake_seconds
    if listening.family == socket.AF_UNIX:
        return await loop.create_unix_server(
            make, sock=listening, backlog=_BACKLOG, ssl=secret, ssl_handshake_timeout=patience
        )
    return await loop.create_server(
        make, sock=listening, backlog=_BACKLOG, ssl=secret, ssl_handshake_timeout=patience
    )


def _address_of(listening: socket.socket, address: str) -> str:
    if address.startswith("unix"):
        return address
    return f"{address.rpartition(':')[0]}:{listening.getsockname()[1]}"


class _NativeServer:
    """A listening server."""

    def __init__(
        self, servers: Sequence[asyncio.Server], calls: Calls, addresses: Sequence[str]
    ) -> None:
        self._servers = servers
        self._calls = calls
        self.addresses = addresses

    async def close(self, grace_seconds: float) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._calls.connections):
            connection.drain()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._calls.nobody.wait(), grace_seconds)
        for connection in list(self._calls.connections):
            connection.close()
        if self._calls.running:
            for task in self._calls.running:
                task.cancel()
            await asyncio.wait(self._calls.running)
