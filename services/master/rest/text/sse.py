"""Writes an answer to one client: at once, or as a stream of events.

Who reads slowly makes the writer wait, and with it the worker that generates; nothing in between
holds more than a connection's own buffers.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import orjson

from services.master.rest.text.answer import Event, Headers

Send = Callable[[dict[str, Any]], Awaitable[None]]
DONE = b"data: [DONE]\n\n"


def event(told: Event) -> bytes:
    """One event of a stream, as the standard frames it."""
    return b"data: " + orjson.dumps(told) + b"\n\n"


class Writer:
    """One answer on its way."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self.request_id = request_id
        self.begun = False
        """Whether the client has been told a status."""

    async def whole(self, status: int, body: bytes, headers: Headers = ()) -> None:
        """The answer, all at once."""
        length = (b"content-length", b"%d" % len(body))
        kind = (b"content-type", b"application/json")
        await self._begin(status, [kind, length, *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def begin_stream(self) -> None:
        """Events will follow."""
        kind = (b"content-type", b"text/event-stream; charset=utf-8")
        # Proxies that gather answers would make one of the stream.
        await self._begin(
            200, [kind, (b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        )

    async def tell(self, events: Iterable[Event]) -> None:
        """Some events, in one write; waits while the client takes no more."""
        body = b"".join(map(event, events))
        if body:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    async def end_stream(self, last: bytes = b"") -> None:
        """No more events after these bytes."""
        await self._send({"type": "http.response.body", "body": last})

    async def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        headers.append((b"x-request-id", self.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
