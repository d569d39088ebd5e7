"""(pure) How long a server bears a client that stalls or says nothing, and what it forgives."""

from dataclasses import dataclass

from shared.wire.http2.limits import Limits


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done for a connection now."""

    forgiven: int
    """Useless frames to be forgotten."""
    ping: bool = False
    end: str | None = None
    """Why the connection is to be ended."""


class Patience:
    """What a connection's earlier visits left to remember."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._visited_at = self._progress_at = now
        self._stalled_bytes = 0
        self._pinged = False

    def visit(self, now: float, *, heard_at: float, stalled_bytes: int) -> Step:
        """Decide; the client was last heard at ``heard_at``, and so much waits for its window."""
        forgiven = int((now - self._visited_at) * self._limits.forgiven_per_second)
        self._visited_at = now
        if not stalled_bytes or stalled_bytes != self._stalled_bytes:
            self._stalled_bytes, self._progress_at = stalled_bytes, now
        if now - self._progress_at > self._limits.stalled_seconds:
            return Step(forgiven, end="answers waited to be taken for too long")
        silent = now - heard_at
        if silent < self._limits.silent_seconds:
            self._pinged = False
        elif not self._pinged:
            self._pinged = True
            return Step(forgiven, ping=True)
        elif silent > 2 * self._limits.silent_seconds:
            return Step(forgiven, end="silent for too long")
        return Step(forgiven)
