"""One client's connection: uvicorn's, with bounds on what it may do while no request runs."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from services.master.rest.statuses import RETRY_AFTER_SECONDS

WHEN_LEFT = "mindserve.when_left"
"""The extension of a scope that takes what to call when the client hangs up."""

_MAX_HEAD_BYTES = 64 << 10
_HEAD_SECONDS = 30.0
_STUCK_SECONDS = 60.0


class Connection(HttpToolsProtocol):
    """Tells the running request that its client left, and ends clients that stall.

    Beyond ``max_connections`` a client is told so at once, and its connection ends.
    """

    def __init__(self, *args: Any, max_connections: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._max_connections = max_connections
        self._when_left: Callable[[], None] | None = None
        self._head_bytes = 0
        # Since when the client owes us the rest of a request's head; None: it owes nothing.
        self._owes_since: float | None = self.loop.time()
        self._unread = 0
        self._unread_since = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client, for whom there may be no room."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self.connections.discard(self)
            self._refuse(503, f"the limit of {self._max_connections} connections is reached")

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return
        owed_since = self._owes_since
        super().data_received(data)
        if owed_since is not None and self._owes_since == owed_since:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES and not self.transport.is_closing():
                self._refuse(431, f"the head of a request is larger than {_MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_bytes = 0
        self._owes_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """The request begins, if none runs before it."""
        self._owes_since = None
        self.scope["extensions"] = {WHEN_LEFT: self._tell_when_left}  # type: ignore[dict-item]
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is here: read on, since who does not read sees nobody leave."""
        super().on_message_complete()
        if not self.pipeline:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """What the client does now is no news to a request that was answered."""
        self._when_left = None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._when_left is not None:
            self._when_left()
            self._when_left = None

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP."""
        self._refuse(400, msg)

    def look_after(self, now: float) -> None:
        """Called each second: end a client that does not finish a head, or does not read."""
        if self._owes_since is not None and now - self._owes_since > _HEAD_SECONDS:
            self.transport.close()
        unread = self.transport.get_write_buffer_size()
        if not unread or unread != self._unread:
            self._unread, self._unread_since = unread, now
        elif now - self._unread_since > _STUCK_SECONDS:
            self.transport.abort()

    def _tell_when_left(self, call: Callable[[], None]) -> None:
        if self.transport.is_closing():
            call()
            return
        self._when_left = call

    def _refuse(self, status: int, reason: str) -> None:
        body = orjson.dumps({"error_msg": reason})
        headers = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        if status == 503:
            headers += b"retry-after: %d\r\n" % RETRY_AFTER_SECONDS
        self.transport.write(
            b"%b%bconnection: close\r\n\r\n%b" % (STATUS_LINE[status], headers, body)
        )
        self.transport.close()
