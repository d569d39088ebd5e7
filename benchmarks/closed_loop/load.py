"""(pure) What every generator of closed loops is told, does and tells."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.layout import Layout
from benchmarks.messages import Call


class LoadFailed(Exception):
    """The load generator did not say what happened."""


@dataclass(frozen=True, slots=True)
class Target:
    """A server, and how it is loaded."""

    port: int
    call: Call
    answer_bytes: int
    """Length of a right answer, gRPC's prefix included."""
    layout: Layout
    folder: Path
    """Where the generator may leave what it needs."""
    check: Callable[[], None]
    """Raises if the server has died."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What came back, and when."""

    requests: int
    """All that were sent; every one was waited for."""
    errors: int
    seconds: float
    """From the first request to the last answer."""
    p50_ms: float
    p99_ms: float
    own_seconds: float
    """CPU time of the generator itself."""


class Load(Protocol):
    """Requests to one server."""

    def warm_up(self, seconds: float) -> None:
        """Get the server ready for runs of so many seconds: a quarter of that, at least."""
        ...

    def run(self, seconds: float) -> Answers:
        """Keep requests in flight for about so long, then wait for every answer.

        However slow the server is, each request in flight is followed by four more.
        Raises LoadFailed.
        """
        ...
