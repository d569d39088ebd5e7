"""The wire on our own HTTP/2: gRPC without grpcio's machinery per call."""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, PeerLost, Unavailable
from shared.tasks import task_scope
from shared.wire.http2.calls import Calls
from shared.wire.http2.client import ClientConnection, NotTaken
from shared.wire.http2.limits import Limits
from shared.wire.http2.server import ServerConnection
from shared.wire.interface import (
    CLOSE_GRACE_SECONDS,
    MAX_MESSAGE_BYTES,
    Channel,
    ConnectionAge,
    Metadata,
    Routes,
    Server,
    Stream,
)
from shared.wire.reflection import reflection_routes
from shared.wire.tls import (
    ClientTls,
    ServerTls,
    client_context,
    handshake_reason,
    server_context,
)

_CONNECT_SECONDS = 5.0
_BACKLOG = 1024
_NOTHING: Metadata = {}


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
                    await asyncio.to_thread(_remove_abandoned, address)
                listening = _listen(address, reuse_port=reuse_port)
                stack.callback(listening.close)
                if is_file:
                    stack.push_async_callback(asyncio.to_thread, _remove, address)
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
        self, address: str, *, tls: ClientTls | None = None
    ) -> AsyncIterator[Channel]:
        """See ``Wire.connect``."""
        secret = None if tls is None else await asyncio.to_thread(client_context, tls)
        name = None if tls is None else tls.server_name
        channel = _NativeChannel(address, self._limits, secret, name)
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
            listening.bind(_unix_path(address))
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


def _remove_abandoned(address: str) -> None:
    """A socket's file outlives a server that was killed; one that somebody serves stays."""
    path = Path(_unix_path(address))
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink(missing_ok=True)


def _remove(address: str) -> None:
    Path(_unix_path(address)).unlink(missing_ok=True)


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


def _unix_path(address: str) -> str:
    kind, _, path = address.partition(":")
    return "\0" + path if kind == "unix-abstract" else path


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


class _NativeChannel:
    """One connection at a time, made when first used and again when lost."""

    def __init__(
        self, address: str, limits: Limits, secret: ssl.SSLContext | None, name: str | None
    ) -> None:
        self._address = address
        self._limits = limits
        self._secret = secret
        self._name = name
        self._connection: ClientConnection | None = None
        self._connecting = asyncio.Lock()

    async def call(
        self,
        path: str,
        message: bytes,
        *,
        deadline: Deadline | None = None,
        metadata: Metadata = _NOTHING,
    ) -> bytes:
        connection = self._connection
        if connection is None or not connection.usable:
            connection = await self._connect(deadline)
        try:
            return await connection.call(path, message, deadline, metadata)
        except NotTaken:
            # The server said that it has not looked at this call: once more, where it is taken.
            connection = await self._connect(deadline)
        try:
            return await connection.call(path, message, deadline, metadata)
        except NotTaken as failure:
            raise Unavailable(str(failure)) from None

    def stream(self, path: str) -> AbstractAsyncContextManager[Stream]:
        return self._stream(path)

    @asynccontextmanager
    async def _stream(self, path: str) -> AsyncIterator[Stream]:
        connection = await self._connect(None)
        async with connection.stream(path) as stream:
            yield stream

    async def _connect(self, deadline: Deadline | None) -> ClientConnection:
        loop = asyncio.get_running_loop()
        seconds = _CONNECT_SECONDS if deadline is None else deadline.remaining(loop.time())
        try:
            async with asyncio.timeout(min(seconds, _CONNECT_SECONDS)), self._connecting:
                if self._connection is None or not self._connection.usable:
                    self._connection = await self._dial()
                return self._connection
        except TimeoutError:
            if deadline is not None and deadline.expired(loop.time()):
                raise DeadlineExceeded("the deadline passed while connecting") from None
            raise PeerLost("failed to connect: no answer") from None
        except ssl.SSLError as failure:
            raise PeerLost(f"failed to connect: {handshake_reason(failure)}") from None
        except OSError as failure:
            raise PeerLost(f"failed to connect: {failure.strerror or failure}") from None

    async def _dial(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        if self._address.startswith("unix"):
            # Connected by hand: event loops do not agree on names of the abstract namespace.
            connected = socket.socket(socket.AF_UNIX)
            connected.setblocking(False)
            try:
                await loop.sock_connect(connected, _unix_path(self._address))
            except BaseException:
                connected.close()
                raise
            _, made = await loop.create_unix_connection(
                lambda: self._make("localhost"),
                sock=connected,
                ssl=self._secret,
                server_hostname=None if self._secret is None else self._name or "localhost",
            )
        else:
            host, _, port = self._address.rpartition(":")
            _, made = await loop.create_connection(
                lambda: self._make(self._address),
                host.strip("[]"),
                int(port),
                ssl=self._secret,
                server_hostname=None if self._secret is None else self._name or host.strip("[]"),
            )
        if not made.speaks_http2:
            made.close()
            raise PeerLost("failed to connect: the peer speaks no HTTP/2 over TLS")
        return made

    def _make(self, authority: str) -> ClientConnection:
        scheme = "http" if self._secret is None else "https"
        return ClientConnection(authority, self._limits, scheme=scheme)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
