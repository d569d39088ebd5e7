"""uvicorn inside the master's event loop, without a life of its own."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import uvicorn

from services.master.rest.connection import Connection
from shared.addresses import HostPort
from shared.tasks import TaskScope
from shared.wire.tls import HTTP1, ServerTls, server_context

Door = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI application."""

_BACKLOG = 1024
_KEEP_ALIVE_SECONDS = 75
_LOOK_SECONDS = 1.0


class RestServer:
    """A listening server."""

    def __init__(self, server: uvicorn.Server, address: str) -> None:
        self._server = server
        self._closed = False
        self.address = address
        """Where it listens, with the real port number."""

    async def close(self, grace_seconds: float) -> None:
        """Stop listening, let requests in progress finish, end the rest after the grace."""
        if self._closed:
            return
        self._closed = True
        for listening in self._server.servers:
            listening.close()
        state = self._server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=grace_seconds)
        for connection in list(state.connections):
            # Whoever still waits hears that its client left.
            connection.transport.abort() if state.tasks else connection.transport.close()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=grace_seconds)

    async def look_after_connections(self) -> None:
        """Once a second, until cancelled: the Date header, and clients that stall."""
        now = asyncio.get_running_loop().time
        while True:
            await self._server.on_tick(0)
            for connection in list(self._server.server_state.connections):
                if isinstance(connection, Connection):
                    connection.look_after(now())
            await asyncio.sleep(_LOOK_SECONDS)


@asynccontextmanager
async def serve_rest(
    door: Door,
    address: str,
    scope: TaskScope,
    *,
    max_connections: int = 1000,
    tls: ServerTls | None = None,
    reuse_port: bool = False,
) -> AsyncIterator[RestServer]:
    """Listen on ``address`` (HOST:PORT) while inside.

    Raises OSError naming the address that cannot be had, or the TLS file.
    """
    context = None if tls is None else await asyncio.to_thread(server_context, tls, HTTP1)
    listening = await _listen(address, reuse_port=reuse_port)
    config = uvicorn.Config(
        door,
        http=partial(Connection, max_connections=max_connections),  # type: ignore[arg-type]
        ws="none",
        interface="asgi3",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ssl_context_factory=None if context is None else lambda *_: context,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    host, port = listening.getsockname()[:2]
    running = RestServer(server, str(HostPort(host, port)))
    looking = scope.spawn(running.look_after_connections(), name="connections of REST")
    try:
        yield running
    finally:
        looking.cancel()
        await running.close(0)


async def _listen(address: str, *, reuse_port: bool) -> socket.socket:
    """A bound socket; raises OSError naming the address."""
    asked = HostPort.parse(address)
    found = socket.socket()
    try:
        loop = asyncio.get_running_loop()
        family, _, _, _, where = (
            await loop.getaddrinfo(
                asked.host or None, asked.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
        )[0]
        found.close()
        found = socket.socket(family)
        found.setblocking(False)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        found.bind(where)
    except OSError as failure:
        found.close()
        reason = failure.strerror or type(failure).__name__
        raise OSError(f"cannot listen on {address}: {reason}") from None
    return found
