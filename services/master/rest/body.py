"""Reads the body of a request while it streams in, never more of it than allowed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from services.master.rest.statuses import TooLarge, TooSlow
from shared.deadline import Deadline
from shared.errors import Cancelled, Overloaded

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
# A client that is still sending reads an answer only when nobody resets its connection.
_LINGER_SECONDS = 2.0


class Bodies:
    """Reads bodies; bounds each, and all that are on their way together."""

    def __init__(self, max_bytes: int, max_bytes_of_all: int) -> None:
        self.max_bytes = max_bytes
        self._max_bytes_of_all = max_bytes_of_all
        self._held = 0

    async def read(
        self, receive: Receive, declared: bytes | None, deadline: Deadline
    ) -> bytes | bytearray:
        """The whole body; ``declared`` is the request's content-length, if it has one.

        Raises TooLarge as soon as the body is known to be larger than allowed, Overloaded when
        too much is on its way already, TooSlow at the deadline, and Cancelled when the client
        leaves.
        """
        if declared is not None and declared.isdigit() and int(declared) > self.max_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout_at(deadline.at):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise Cancelled("the client left before its request was complete")
                    piece: bytes = message.get("body", b"")
                    if len(body) + len(piece) > self.max_bytes:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return body + piece if body else piece
                    body += piece
                    self._hold(len(piece))
        except TimeoutError:
            raise TooSlow(
                f"the body did not come in time: got {len(body)} bytes until the deadline"
            ) from None
        finally:
            self._held -= len(body)

    @contextmanager
    def holding(self, size: int) -> Iterator[None]:
        """While what a body became is in memory too; raises Overloaded."""
        try:
            self._hold(size)
            yield
        finally:
            self._held -= size

    def _hold(self, size: int) -> None:
        self._held += size
        if self._held > self._max_bytes_of_all:
            raise Overloaded(
                f"{self._held} bytes of bodies are on their way already,"
                f" the most is {self._max_bytes_of_all}"
            )

    def _too_large(self) -> TooLarge:
        return TooLarge(f"http message is bigger than {self.max_bytes}, the limit in bytes")


async def discard_body(receive: Receive) -> None:
    """Throw away what still comes, for a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            message = await receive()
            while message["type"] == "http.request" and message.get("more_body", False):
                message = await receive()
