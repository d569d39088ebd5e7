"""A channel of the wire on our own HTTP/2."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from shared.deadline import Deadline
from shared.errors import DeadlineExceeded, PeerLost, Unavailable
from shared.wire.http2.client import ClientConnection, NotTaken
from shared.wire.http2.limits import Limits
from shared.wire.interface import Metadata, Stream
from shared.wire.tls import handshake_reason
from shared.wire.unix_sockets import unix_path

_CONNECT_SECONDS = 5.0
_NOTHING: Metadata = {}


class NativeChannel:
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
        """See ``Channel.call``."""
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

    def stream(
        self, path: str, *, deadline: Deadline | None = None, metadata: Metadata = _NOTHING
    ) -> AbstractAsyncContextManager[Stream]:
        """See ``Channel.stream``."""
        return self._stream(path, deadline, metadata)

    @asynccontextmanager
    async def _stream(
        self, path: str, deadline: Deadline | None, metadata: Metadata
    ) -> AsyncIterator[Stream]:
        connection = await self._connect(deadline)
        async with connection.stream(path, deadline, metadata) as stream:
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
                await loop.sock_connect(connected, unix_path(self._address))
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
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
