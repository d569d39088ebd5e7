"""(pure) Who is in the next batch.

Instances wait in groups that may share a batch. The group whose oldest instance
waits longest goes first; callers that left or whose time ran out are dropped
when a batch is taken, and nobody beside them notices.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from shared.deadline import Deadline
from shared.errors import Overloaded
from shared.tensors import Array

Row = tuple[Array, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Submission:
    """Rows of one caller for one model; all of them have the same group."""

    group: Hashable
    """What rows must have in common to share a batch: shapes, dtypes, unbatched inputs."""
    rows: Sequence[Row]
    deadline: Deadline | None
    submitted_at: float

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return sum(array.nbytes for array in self.rows[0])


@dataclass(frozen=True, slots=True)
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
        return sum(part.stop - part.start for part in self.parts)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came out of the queue: a batch, and submissions whose time ran out."""

    batch: Batch | None
    expired: tuple[Submission, ...]


class Batcher:
    """The rows that wait for one model."""

    def __init__(self, what: str, max_queued_rows: int) -> None:
        self._what = what
        self._max_queued_rows = max_queued_rows
        self._groups: dict[Hashable, deque[Part]] = {}
        # Rows that still wait, of submissions that are still wanted.
        self._waiting: dict[Submission, int] = {}
        self.queued_rows = 0

    def admit(self, submission: Submission) -> None:
        """Let a submission wait; raises Overloaded when there is no room for its rows."""
        count = len(submission.rows)
        if self.queued_rows + count > self._max_queued_rows:
            raise Overloaded(
                f"{self._what}: {self.queued_rows} rows wait already, {count} more would exceed"
                f" the limit of {self._max_queued_rows}"
            )
        self._put_back(Part(submission, 0, count))

    def withdraw(self, submission: Submission) -> None:
        """Forget a caller; what of it waits never runs."""
        self.queued_rows -= self._waiting.pop(submission, 0)

    def clear(self) -> list[Submission]:
        """Forget everybody; returns who was still waiting."""
        waiting = list(self._waiting)
        self._waiting.clear()
        self._groups.clear()
        self.queued_rows = 0
        return waiting

    def restore(self, batch: Batch, *, alone: bool = False) -> None:
        """Put a batch that did not run back in front; ``alone`` keeps its parts apart."""
        for part in reversed(batch.parts):
            self._put_back(
                Part(part.submission, part.start, part.stop, alone or part.alone), front=True
            )

    def _put_back(self, part: Part, *, front: bool = False) -> None:
        group = self._groups.setdefault(part.submission.group, deque())
        if front:
            group.appendleft(part)
        else:
            group.append(part)
        count = part.stop - part.start
        self._waiting[part.submission] = self._waiting.get(part.submission, 0) + count
        self.queued_rows += count

    def oldest(self) -> float | None:
        """When the row that waits longest was submitted; None when nothing waits."""
        self._drop_unwanted_heads()
        heads = (group[0].submission.submitted_at for group in self._groups.values())
        return min(heads, default=None)

    def take(self, *, max_rows: int, max_bytes: int, now: float) -> Taken:
        """The next batch: at most ``max_rows`` rows and, beyond the first row, ``max_bytes``."""
        expired = self._expire_heads(now)
        self._drop_unwanted_heads()
        if not self._groups:
            return Taken(None, tuple(expired))
        key = min(self._groups, key=lambda each: self._groups[each][0].submission.submitted_at)
        group = self._groups[key]
        room = max(1, min(max_rows, max_bytes // max(1, group[0].submission.row_bytes)))
        parts: list[Part] = []
        while group and room > 0:
            part = group[0]
            if self._is_unwanted(part, now, expired):
                group.popleft()
                continue
            if parts and (part.alone or parts[0].alone):
                break
            group.popleft()
            stop = min(part.stop, part.start + room)
            if stop < part.stop:
                group.appendleft(Part(part.submission, stop, part.stop, part.alone))
            parts.append(Part(part.submission, part.start, stop, part.alone))
            self._took(parts[-1])
            room -= stop - part.start
        if not group:
            del self._groups[key]
        return Taken(Batch(tuple(parts)), tuple(expired))

    def _took(self, part: Part) -> None:
        count = part.stop - part.start
        self.queued_rows -= count
        left = self._waiting[part.submission] - count
        if left:
            self._waiting[part.submission] = left
        else:
            del self._waiting[part.submission]

    def _is_unwanted(self, part: Part, now: float, expired: list[Submission]) -> bool:
        submission = part.submission
        if submission not in self._waiting:
            return True
        if submission.deadline is not None and submission.deadline.expired(now):
            self.withdraw(submission)
            expired.append(submission)
            return True
        return False

    def _expire_heads(self, now: float) -> list[Submission]:
        expired: list[Submission] = []
        for group in self._groups.values():
            while group and self._is_unwanted(group[0], now, expired):
                group.popleft()
        return expired

    def _drop_unwanted_heads(self) -> None:
        for key in list(self._groups):
            group = self._groups[key]
            while group and group[0].submission not in self._waiting:
                group.popleft()
            if not group:
                del self._groups[key]
