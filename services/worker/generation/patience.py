"""(pure) How long texts wait for agents that are missing."""


class Patience:
    """Since when something is missing, and whether that was for too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.ends_at: float | None = None
        """None: nothing is missing."""

    def miss(self, now: float) -> None:
        """It is missing, if it was not before."""
        if self.ends_at is None:
            self.ends_at = now + self._seconds

    def see(self, now: float, *, there: bool) -> None:
        """Whether it is there."""
        if there:
            self.find()
        else:
            self.miss(now)

    def find(self) -> None:
        """It is there."""
        self.ends_at = None

    def is_over(self, now: float) -> bool:
        """Whether it was missing for too long."""
        return self.ends_at is not None and now >= self.ends_at
