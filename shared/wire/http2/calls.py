"""The calls of a server: what its connections share, and what is known of each call."""

import asyncio
from typing import Protocol

from shared.deadline import Deadline
from shared.wire.http2.grpc_messages import MessageReader
from shared.wire.http2.grpc_protocol import Request
from shared.wire.http2.streams import MessageStream
from shared.wire.interface import CallContext, ConnectionAge, Routes


class Served(Protocol):
    """What a server asks of its connections."""

    def tend(self) -> None:
        """To be called every few seconds."""

    def drain(self) -> None:
        """Take no new calls; the connection ends with its last one."""

    def close(self) -> None:
        """End now."""


class Call:
    """One call, from its headers to its trailers."""

    __slots__ = ("came_at", "heard_at", "held_bytes", "reader", "request", "stream", "task")

    def __init__(self, request: Request, reader: MessageReader, now: float) -> None:
        self.request = request
        self.reader = reader
        self.came_at = self.heard_at = now
        self.held_bytes = 0
        self.task: asyncio.Task[None] | None = None
        self.stream: MessageStream | None = None

    def context(self, peer_host: str) -> CallContext:
        """What the handler is told."""
        timeout, deadline = self.request.timeout, None
        if timeout is not None:
            deadline = Deadline.after(timeout, now=self.came_at)
        return CallContext(peer_host, deadline, self.request.metadata, self.request.binary)


class Calls:
    """What all connections of one server share: handlers, limits, calls in progress."""

    def __init__(
        self,
        routes: Routes,
        *,
        max_message_bytes: int,
        max_calls: int | None = None,
        max_age: ConnectionAge | None = None,
    ) -> None:
        self.routes = routes
        self.max_message_bytes = max_message_bytes
        self.max_calls = max_calls
        self.max_age = max_age
        self.held_bytes = 0
        """Of messages that have not come whole."""
        self.running: set[asyncio.Task[None]] = set()
        self.connections: set[Served] = set()
        self.nobody = asyncio.Event()
        """Set while there is no connection."""
        self.nobody.set()

    def add(self, connection: Served) -> None:
        """A client has come."""
        self.connections.add(connection)
        self.nobody.clear()

    def remove(self, connection: Served) -> None:
        """A client has gone."""
        self.connections.discard(connection)
        if not self.connections:
            self.nobody.set()

    def hold(self, call: Call, held_bytes: int) -> None:
        """Account for what has come of a message that is not whole."""
        self.held_bytes += held_bytes - call.held_bytes
        call.held_bytes = held_bytes
