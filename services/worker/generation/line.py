"""(pure) Sequences in their order: by turn, then by arrival."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from operator import attrgetter

from services.worker.generation.sequences import Sequence

_order = attrgetter("order")


class Line:
    """The sequences that wait, or those that run; one that comes back gets its old place."""

    def __init__(self) -> None:
        self._sequences: list[Sequence] = []

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(tuple(self._sequences))

    @property
    def last(self) -> Sequence:
        """The one that came latest, in the order of turns."""
        return self._sequences[-1]

    def add(self, sequence: Sequence) -> None:
        """Let a sequence stand in its place."""
        insort(self._sequences, sequence, key=_order)

    def remove(self, sequence: Sequence) -> None:
        """Take out a sequence that is in line."""
        del self._sequences[bisect_left(self._sequences, sequence.order, key=_order)]
