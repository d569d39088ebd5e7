"""What scripts ask the worker of a distributed servable: which ranks, and how far they are."""

import time
from collections.abc import Callable
from typing import TypeVar

from mindspore_serving.server.calls import Call, NotAnswered
from shared.errors import InvalidRequest
from shared.wire.gangs_codec import (
    AWAIT_PATH,
    DESCRIBE_PATH,
    GangDescription,
    read_description,
    read_progress,
    write_await_request,
    write_describe_request,
)

_Told = TypeVar("_Told")
_AWAIT_SECONDS, _GRACE_SECONDS = 1.0, 4.0
# News are told at once, though not too often; what is no news is repeated now and then.
_NEWS_SECONDS, _REPEAT_SECONDS = 3.0, 30.0


def describe(call: Call, seconds: float) -> GangDescription:
    """The ranks there are, and where they belong; raises NotAnswered."""
    description = _read(read_description, call(DESCRIBE_PATH, write_describe_request(), seconds))
    if not description.places:
        raise NotAnswered("it was started without a rank table")
    return description


def _read(read: Callable[[bytes], _Told], answer: bytes) -> _Told:
    try:
        return read(answer)
    except InvalidRequest as failure:
        raise NotAnswered(failure.message) from None


class AwaitedGang:
    """A gang that a script waits for, and says of now and then what it still lacks."""

    def __init__(self, call: Call, servable: str) -> None:
        self._call = call
        self._servable = servable
        self._news = News(time.monotonic())

    def serves(self) -> bool:
        """Whether it serves; takes about a second to say no."""
        try:
            answer = self._call(
                AWAIT_PATH, write_await_request(_AWAIT_SECONDS), _AWAIT_SECONDS + _GRACE_SECONDS
            )
            progress = _read(read_progress, answer)
        except NotAnswered:  # its worker has not come so far yet
            return False
        if not progress.serves and self._news.are_due(progress.text, time.monotonic()):
            waits = f"Serving: waiting for the ranks of servable {self._servable}"
            print(f"{waits}: {progress.text}", flush=True)
        return progress.serves


class News:
    """When to say how far something is."""

    def __init__(self, now: float) -> None:
        self._said, self._said_at = "", now

    def are_due(self, text: str, now: float) -> bool:
        """Whether ``text`` is to be said now; time is in seconds."""
        pause = _REPEAT_SECONDS if text == self._said else _NEWS_SECONDS
        if now - self._said_at < pause:
            return False
        self._said, self._said_at = text, now
        return True
