"""One end of a stream of messages, on either side of a connection."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from shared.errors import ServingError


class StreamCarrier(Protocol):
    """The connection that a stream is on."""

    writable: asyncio.Event

    def send_on(self, stream: int, message: bytes, *, first: bool) -> bool:
        """Send a message; False when some of it waits for the peer's window."""

    def consumed_on(self, stream: int, count: int) -> None:
        """Bytes were taken by their reader: the peer may send as many more."""


class MessageStream:
    """Messages in both directions. What is not read stays in the peer's window."""

    def __init__(self, carrier: StreamCarrier, number: int) -> None:
        self._carrier = carrier
        self._number = number
        self._messages: deque[tuple[bytes, int]] = deque()
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._lost: ServingError | None = None
        self.begun = False

    # The connection's side.

    def feed(self, messages: Sequence[bytes], size: int) -> None:
        """``size`` bytes came and completed ``messages``."""
        if not messages:
            # A message larger than the window must not wait for its own end.
            self._carrier.consumed_on(self._number, size)
            return
        last = len(messages) - 1
        self._messages.extend((each, size if n == last else 0) for n, each in enumerate(messages))
        self._news.set()

    def end(self) -> None:
        """The peer sends no more."""
        self._ended = True
        self._news.set()

    def lose(self, failure: ServingError) -> None:
        """The stream is over before its end."""
        if self._lost is None:
            self._lost = failure
        self._news.set()
        self._room.set()

    def drained(self) -> None:
        """What waited to be sent is on its way."""
        self._room.set()

    # The user's side: ``shared.wire.interface.Stream``.

    async def send(self, message: bytes) -> None:
        """See ``Stream``."""
        await self._room.wait()
        await self._carrier.writable.wait()
        if self._lost is not None:
            raise self._lost
        first, self.begun = not self.begun, True
        if not self._carrier.send_on(self._number, message, first=first):
            self._room.clear()
            await self._room.wait()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._messages:
                message, size = self._messages.popleft()
                if size:
                    self._carrier.consumed_on(self._number, size)
                yield message
            if self._lost is not None:
                raise self._lost
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()
