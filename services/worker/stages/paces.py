"""(pure) How long stage functions take for one instance."""

from services.worker.stages.messages import StagePlace

# How much the latest run counts beside those before it.
_WEIGHT = 0.2


class Paces:
    """Running means, stage by stage."""

    def __init__(self) -> None:
        self._seconds: dict[StagePlace, float] = {}

    def note(self, place: StagePlace, seconds: float, instances: int) -> None:
        """A function took so long for so many instances, waiting not counted."""
        one = seconds / instances
        before = self._seconds.get(place, one)
        self._seconds[place] = before + _WEIGHT * (one - before)

    def seconds(self, place: StagePlace) -> float:
        """What one instance takes; 0 while nobody knows."""
        return self._seconds.get(place, 0.0)
