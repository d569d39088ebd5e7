"""Reads the body of a request while it streams in, never more of it than allowed."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.master.rest.statuses import TooLarge, TooSlow
from shared.deadline import Deadline
from shared.errors import Cancelled

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
# A client that is still sending reads an answer only when nobody resets its connection.
_LINGER_SECONDS = 2.0


async def read_body(
    receive: Receive, declared: bytes | None, limit: int, deadline: Deadline
) -> bytes | bytearray:
    """The whole body; ``declared`` is the request's content-length, if it has one.

    Raises TooLarge as soon as the body is known to be larger than ``limit`` bytes, TooSlow at
    the deadline, and Cancelled when the client leaves.
    """
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout_at(deadline.at):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    raise Cancelled("the client left before its request was complete")
                piece: bytes = message.get("body", b"")
                if len(body) + len(piece) > limit:
                    raise _too_large(limit)
                if not message.get("more_body", False):
                    return body + piece if body else piece
                body += piece
    except TimeoutError:
        raise TooSlow(
            f"the body did not come in time: got {len(body)} bytes until the deadline"
        ) from None


async def discard_body(receive: Receive) -> None:
    """Throw away what still comes, for a moment."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_SECONDS):
            message = await receive()
            while message["type"] == "http.request" and message.get("more_body", False):
                message = await receive()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"http message is bigger than {limit}, the limit in bytes")
