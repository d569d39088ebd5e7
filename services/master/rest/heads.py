"""What the head of an HTTP request says of it, and of the client that may leave."""

import asyncio
import hmac
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import isfinite
from typing import Any

from services.master.requests import Requests
from services.master.rest.connection import WHEN_LEFT
from services.master.rest.statuses import Unauthorized
from shared.errors import InvalidRequest
from shared.urgency import DEFAULT_PRIORITY, Urgency
from shared.wire.predict_service import PRIORITY_KEY, REQUEST_ID_KEY, RequestIds, read_priority

Headers = Mapping[bytes, bytes]


@asynccontextmanager
async def unless_left(scope: Mapping[str, Any]) -> AsyncIterator[None]:
    """Work on a request inside: a client that hangs up ends it."""
    task = asyncio.current_task()
    assert task is not None
    left = False

    def leave() -> None:
        nonlocal left
        left = True
        task.cancel()

    # Another server than ours does not offer this; its clients are only missed.
    when_left = scope.get("extensions", {}).get(WHEN_LEFT)
    if when_left is not None:
        when_left(leave)
    try:
        yield
    except asyncio.CancelledError:
        if not left or task.uncancel():
            raise


def request_id_of(headers: Headers, ids: RequestIds) -> str:
    """The client's own id, if it can be written to a log, or a new one."""
    text = headers.get(b"x-request-id", b"").decode("latin-1")
    return ids.of({REQUEST_ID_KEY: text} if text.isascii() and text.isprintable() else {})


def urgency_of(headers: Headers, requests: Requests) -> Urgency:
    """By when an answer is wanted, and before whom; raises InvalidRequest."""
    level, given = headers.get(PRIORITY_KEY.encode()), headers.get(b"x-request-timeout")
    priority = DEFAULT_PRIORITY if level is None else read_priority(level.decode("latin-1"))
    if given is None:
        return requests.urgency(None, priority)
    text = given.decode("latin-1")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not isfinite(seconds) or seconds <= 0:
        raise InvalidRequest(
            f"x-request-timeout: expected seconds greater than 0, got '{text[:60]}'"
        )
    return requests.urgency(requests.deadline(seconds), priority)


def check_key(headers: Headers, key: str) -> None:
    """Raises Unauthorized for a request without the key; an empty one asks for nothing."""
    if not key:
        return
    scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), key.encode()):
        raise Unauthorized("expected 'Authorization: Bearer KEY' with the key of this server")
