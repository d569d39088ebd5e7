"""(pure) When sequences must end at the latest."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from services.worker.generation.sequences import Sequence, State

# Those of sequences that ended are swept away when there are so many.
_MOST_OLD = 64


class Deadlines:
    """The sequences that have a deadline, the next one first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Sequence]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def keep(self, sequence: Sequence, *, alive: int) -> None:
        """Note a sequence's deadline, if it has one; so many sequences are ``alive``."""
        deadline = sequence.prompt.deadline
        if deadline is None:
            return
        heappush(self._heap, (deadline.at, sequence.number, sequence))
        if len(self._heap) > 2 * alive + _MOST_OLD:
            self._heap = [each for each in self._heap if not _is_over(each[2])]
            heapify(self._heap)

    def passed(self, now: float) -> Iterator[Sequence]:
        """The sequences whose time is over, each once."""
        while self._heap and self._heap[0][0] <= now:
            sequence = heappop(self._heap)[2]
            if not _is_over(sequence):
                yield sequence

    @property
    def next_at(self) -> float | None:
        """When the next one is over; None: there is none."""
        while self._heap and _is_over(self._heap[0][2]):
            heappop(self._heap)
        return self._heap[0][0] if self._heap else None


def _is_over(sequence: Sequence) -> bool:
    """Whether it ended, or another scheduler has it."""
    return sequence.state in (State.FINISHED, State.LENT)
