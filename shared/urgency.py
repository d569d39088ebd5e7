"""(pure) How urgent a request is, from the door to the batch queue."""

from typing import NamedTuple

from shared.deadline import Deadline

HIGHEST_PRIORITY = 1
DEFAULT_PRIORITY = 0


class Urgency(NamedTuple):
    """By when a request must be answered, and before whom its rows go."""

    deadline: Deadline | None = None
    priority: int = DEFAULT_PRIORITY
    """A level, 1 is the highest; 0 is whatever a model's default is."""
    is_default: bool = False
    """Whether the client set no deadline, so that the one here is the server's own."""
    is_kept: bool = True
    """Whether somebody before this process ends the request at its deadline."""

    def within(self, seconds: float | None, *, now: float) -> "Urgency":
        """The same with at most so many seconds from now, which is kept here; None: as it is."""
        if seconds is None:
            return self
        limit = Deadline.after(seconds, now=now)
        if self.deadline is not None and self.deadline <= limit:
            return self
        return self._replace(deadline=limit, is_kept=False)


NOT_URGENT = Urgency()
