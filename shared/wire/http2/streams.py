"""One end of a stream of messages, on either side of a connection."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from shared.bell import Bell
from shared.errors import InternalError, Overloaded, ServingError
from shared.wire.http2.compression import inflated
from shared.wire.http2.grpc_messages import BadMessage, Deflated, MessageReader, MessageTooLarge

_SMALL_CHUNK = 1024


class StreamCarrier(Protocol):
    """The connection that a stream is on."""

    writable: asyncio.Event

    def send_on(self, stream: int, messages: Sequence[bytes], *, first: bool, soon: bool) -> bool:
        """Write messages; False when some of them waits for the peer's window.

        ``soon``: together with what other streams send in this turn of the event loop.
        """

    def consumed_on(self, stream: int, count: int) -> None:
        """Bytes were taken by their reader: the peer may send as many more."""


class MessageStream:
    """Messages in both directions. What is not read stays in the peer's window, uncut."""

    def __init__(
        self, carrier: StreamCarrier, number: int, reader: MessageReader, *, max_bytes: int
    ) -> None:
        self._carrier = carrier
        self._number = number
        self._reader = reader
        self._max_bytes = max_bytes
        self._chunks: deque[bytes | bytearray] = deque()
        self._cut: deque[bytes] = deque()
        """Messages that were cut from chunks, in front of those that were not."""
        self._take: Callable[[bytes], None] | None = None
        self._news = Bell()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False
        self._lost: Exception | None = None
        self.begun = False

    # The connection's side.

    def feed(self, data: bytes) -> None:
        """Data came."""
        if self._take is not None and not self._chunks and not self._cut:
            self._hand_over(data, self._take)
            return
        if len(data) >= _SMALL_CHUNK or not self._chunks:
            self._chunks.append(data)
        else:
            # Many small pieces would cost more than their bytes.
            last = self._chunks[-1]
            if isinstance(last, bytearray):
                last += data
            elif len(last) < _SMALL_CHUNK:
                self._chunks[-1] = bytearray(last + data)
            else:
                self._chunks.append(data)
        self._news.ring()

    def _hand_over(self, data: bytes, take: Callable[[bytes], None]) -> None:
        """Nobody has to be woken for it, unless it is compressed."""
        self._carrier.consumed_on(self._number, len(data))
        try:
            for message in self._messages_in(data):
                if self._cut or type(message) is Deflated:
                    self._cut.append(message)
                else:
                    take(message)
        except Exception as failure:
            # For who hears: the connection has nothing to do with it.
            self._lost = self._lost or failure
        if self._cut or self._lost is not None:
            self._news.ring()

    def end(self) -> None:
        """The peer sends no more."""
        self._ended = True
        self._news.ring()

    def lose(self, failure: ServingError) -> None:
        """The stream is over before its end."""
        if self._lost is None:
            self._lost = failure
        self._news.ring()
        self._room.set()

    def abandon(self) -> None:
        """Nobody reads on: what has come gives its window back."""
        unread = sum(map(len, self._chunks))
        self._chunks.clear()
        if unread:
            self._carrier.consumed_on(self._number, unread)

    def drained(self) -> None:
        """What waited to be sent is on its way."""
        self._room.set()

    # The user's side: ``shared.wire.interface.Stream``.

    async def send(self, *messages: bytes, soon: bool = False) -> None:
        """See ``Stream``."""
        if not self.is_free:
            await self._room.wait()
            await self._carrier.writable.wait()
            if self._lost is not None:
                raise self._lost
        self._post(messages, soon=soon)
        if not self._room.is_set():
            await self._room.wait()

    @property
    def is_free(self) -> bool:
        """See ``Stream``."""
        return self._room.is_set() and self._carrier.writable.is_set() and self._lost is None

    def post(self, *messages: bytes) -> None:
        """See ``Stream``."""
        self._post(messages, soon=False)

    def _post(self, messages: Sequence[bytes], *, soon: bool) -> None:
        first, self.begun = not self.begun, True
        if not self._carrier.send_on(self._number, messages, first=first, soon=soon):
            self._room.clear()

    async def hear(self, take: Callable[[bytes], None]) -> None:
        """See ``Stream``."""
        self._take = take
        try:
            async for message in self:
                take(message)
        finally:
            self._take = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._cut:
                message = self._cut[0]
                if type(message) is Deflated:
                    # Others come after it meanwhile.
                    message = await inflated(message, self._max_bytes)
                self._cut.popleft()
                yield message
            if self._chunks:
                chunk = bytes(self._chunks.popleft())
                self._carrier.consumed_on(self._number, len(chunk))
                self._cut.extend(self._messages_in(chunk))
            elif self._lost is not None:
                raise self._lost
            elif self._ended:
                return
            else:
                await self._news.wait()

    def _messages_in(self, chunk: bytes) -> Sequence[bytes]:
        try:
            return self._reader.feed(chunk)
        except MessageTooLarge as failure:
            self._lost = Overloaded(str(failure))
        except BadMessage as failure:
            self._lost = InternalError(str(failure))
        self._chunks.clear()
        return ()
