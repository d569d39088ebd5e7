"""What scripts ask the worker of a distributed servable: which ranks, and how far they are."""

import time

from mindspore_serving.server.calls import Call, NotAnswered
from shared.wire.gangs_codec import (
    AWAIT_PATH,
    DESCRIBE_PATH,
    GangDescription,
    read_description,
    read_progress,
    write_await_request,
    write_describe_request,
)

_AWAIT_SECONDS, _GRACE_SECONDS = 1.0, 4.0
# News are told at once, though not too often; what is no news is repeated now and then.
_NEWS_SECONDS, _REPEAT_SECONDS = 3.0, 30.0


def describe(call: Call, seconds: float) -> GangDescription:
    """The ranks there are, and where they belong; raises NotAnswered."""
    return read_description(call(DESCRIBE_PATH, write_describe_request(), seconds))


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
        except NotAnswered:  # its worker has not come so far yet
            return False
        progress = read_progress(answer)
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
