"""(pure) When a connection is old enough to be made anew."""

import enum

from shared.wire.interface import ConnectionAge

# Clients that came together shall not leave together.
_SPREAD = 0.1


class Stage(enum.Enum):
    """What an age asks for."""

    YOUNG = enum.auto()
    OLD = enum.auto()
    """It takes no more calls; those on it may finish."""
    OVER = enum.auto()
    """Their time has passed too."""


class Age:
    """The age of one connection; ``chance`` between 0 and 1 places it among the others."""

    def __init__(self, limit: ConnectionAge, *, born_at: float, chance: float) -> None:
        self._old_at = born_at + limit.seconds * (1 - _SPREAD + 2 * _SPREAD * chance)
        self._over_at = self._old_at + limit.grace_seconds

    def stage(self, now: float) -> Stage:
        """How far it has come."""
        if now < self._old_at:
            return Stage.YOUNG
        return Stage.OLD if now < self._over_at else Stage.OVER
