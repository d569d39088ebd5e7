"""(pure) Rows that wait together, and what becomes of them in batches."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.deadline import Deadline
from shared.errors import ServingError
from shared.tensors import Array
from shared.urgency import DEFAULT_PRIORITY

Row = tuple[Array, ...]
RowOutcome = tuple[Array, ...] | ServingError


class Waiting(Protocol):
    """Whoever waits for rows."""

    outcomes: list[RowOutcome | None]

    def arrived(self, first: int, outcomes: Sequence[RowOutcome]) -> None:
        """Rows from ``first`` on have their outcomes."""


@dataclass(slots=True, eq=False)
class Submission:
    """Rows of one caller for one model; all of them have the same group."""

    group: Hashable
    """What rows must have in common to share a batch: shapes, dtypes, unbatched inputs."""
    rows: Sequence[Row]
    deadline: Deadline | None
    submitted_at: float
    priority: int = DEFAULT_PRIORITY
    caller: Waiting | None = None
    """Nobody any more when it has left."""
    first: int = 0
    """Where its rows begin among those of its caller."""
    turn: float = 0.0
    """Who has the smallest goes first; the batcher reckons it."""
    waiting: int = 0
    """Rows that still wait, as the batcher counts them; none when its caller has left."""

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return sum(array.nbytes for array in self.rows[0])


@dataclass(slots=True, eq=False)
class Part:
    """Rows ``start`` to ``stop`` of a submission; ``alone`` never shares a batch."""

    submission: Submission
    start: int
    stop: int
    alone: bool = False

    @property
    def rows(self) -> Sequence[Row]:
        """The rows themselves."""
        return self.submission.rows[self.start : self.stop]


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows that one model call executes together."""

    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """How many."""
        return sum([part.stop - part.start for part in self.parts])


@dataclass(frozen=True, slots=True)
class Taken:
    """What came out of the queue: a batch, and submissions whose time ran out."""

    batch: Batch | None
    expired: tuple[Submission, ...]


def cut(parts: list[Part], rows: int) -> tuple[list[Part], list[Part]]:
    """The first ``rows`` rows of parts, and what is left of them."""
    for index, part in enumerate(parts):
        count = part.stop - part.start
        if count > rows:
            middle = part.start + rows
            first = [Part(part.submission, part.start, middle, part.alone)] if rows else []
            rest = Part(part.submission, middle, part.stop, part.alone)
            return parts[:index] + first, [rest, *parts[index + 1 :]]
        rows -= count
    return parts, []
