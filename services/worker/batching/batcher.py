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


@dataclass(slots=True, eq=False)
class Submission:
    """Rows of one caller for one model; all of them have the same group."""

    group: Hashable
    """What rows must have in common to share a batch: shapes, dtypes, unbatched inputs."""
    rows: Sequence[Row]
    deadline: Deadline | None
    submitted_at: float
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
        self.queued_rows = 0

    def has_room(self, count: int) -> bool:
        """Whether so many rows more may wait."""
        return self.queued_rows + count <= self._max_queued_rows

    def admit(self, submission: Submission) -> None:
        """Let a submission wait; raises Overloaded when there is no room for its rows."""
        count = len(submission.rows)
        if not self.has_room(count):
            raise Overloaded(
                f"{self._what}: {self.queued_rows} rows wait already, {count} more would exceed"
                f" the limit of {self._max_queued_rows}"
            )
        self._put_back(Part(submission, 0, count))

    def withdraw(self, submission: Submission) -> None:
        """Forget a caller; what of it waits never runs."""
        self.queued_rows -= submission.waiting
        submission.waiting = 0

    def clear(self) -> list[Submission]:
        """Forget everybody; returns who was still waiting."""
        parts = (part for group in self._groups.values() for part in group)
        waiting = list(dict.fromkeys(p.submission for p in parts if p.submission.waiting))
        for submission in waiting:
            self.withdraw(submission)
        self._groups.clear()
        return waiting

    def restore(self, batch: Batch, *, alone: bool = False) -> None:
        """Put a batch that did not run back in front; ``alone`` keeps its parts apart."""
        for part in reversed(batch.parts):
            self._put_back(
                Part(part.submission, part.start, part.stop, alone or part.alone), front=True
            )

    def _put_back(self, part: Part, *, front: bool = False) -> None:
        group = self._groups.get(part.submission.group)
        if group is None:
            group = self._groups[part.submission.group] = deque()
        if front:
            group.appendleft(part)
        else:
            group.append(part)
        count = part.stop - part.start
        part.submission.waiting += count
        self.queued_rows += count

    def oldest(self) -> float | None:
        """When the row that waits longest was submitted; None when nothing waits."""
        if not self.queued_rows:
            return None
        self._drop_unwanted_heads()
        return min([group[0].submission.submitted_at for group in self._groups.values()])

    def take(self, *, max_rows: int, max_bytes: int, now: float) -> Taken:
        """The next batch: at most ``max_rows`` rows and, beyond the first row, ``max_bytes``."""
        expired = self._expire_heads(now)
        self._drop_unwanted_heads()
        if not self._groups:
            return Taken(None, tuple(expired))
        key = self._next_group()
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

    def fills(self, max_rows: int) -> bool:
        """Whether the next batch would have no room for one more row."""
        self._drop_unwanted_heads()
        if not self._groups:
            return False
        rows = 0
        for part in self._groups[self._next_group()]:
            if part.submission.waiting:
                rows += part.stop - part.start
            if rows >= max_rows or part.alone:
                return True
        return False

    def _next_group(self) -> Hashable:
        """The group whose oldest row waits longest; its head is wanted."""
        if len(self._groups) == 1:
            return next(iter(self._groups))
        return min(self._groups, key=lambda each: self._groups[each][0].submission.submitted_at)

    def _took(self, part: Part) -> None:
        count = part.stop - part.start
        self.queued_rows -= count
        part.submission.waiting -= count

    def _is_unwanted(self, part: Part, now: float, expired: list[Submission]) -> bool:
        submission = part.submission
        if not submission.waiting:
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
            while group and not group[0].submission.waiting:
                group.popleft()
            if not group:
                del self._groups[key]
