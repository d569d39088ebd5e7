"""A moment after which an answer is of no use to its caller."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Deadline:
    """An absolute moment on the monotonic clock of this process, in seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float, *, now: float) -> "Deadline":
        """The moment ``seconds`` from ``now``."""
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Seconds left; never negative."""
        return max(0.0, self.at - now)

    def expired(self, now: float) -> bool:
        """Whether the moment has come."""
        return now >= self.at
