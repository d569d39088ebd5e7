"""(pure) Who is in the next batch.

Rows wait in groups that may share a batch, in the order of their turns: first come,
first served, where each priority level below the highest counts as having come later.
The group whose head has the smallest turn goes first, so that no group and no level
waits for ever; callers that left or whose time ran out are dropped when a batch is
taken, and nobody beside them notices.
"""

from math import inf

from services.worker.batching.lines import Lines
from services.worker.batching.parts import Batch, Part, Submission, Taken, cut
from services.worker.batching.policy import BatchingPolicy
from shared.errors import Overloaded

# One hand-over to an agent carries at most this much, whatever the row limit.
MAX_BATCH_BYTES = 128 << 20


class Batcher:
    """The rows that wait for one model."""

    def __init__(
        self, what: str, policy: BatchingPolicy, *, max_bytes: int = MAX_BATCH_BYTES
    ) -> None:
        self._what = what
        self._policy = policy
        self._max_bytes = max_bytes
        self._batch_rows = policy.batch_rows
        self._handicaps = policy.handicaps
        self._lowest = policy.priority_levels
        self._lines = Lines()
        self.queued_rows = 0

    def has_room(self, count: int) -> bool:
        """Whether so many rows more may wait; any number may when nobody waits."""
        return not self.queued_rows or self.queued_rows + count <= self._policy.max_queued_rows

    def check_room(self, count: int) -> None:
        """Raises Overloaded when there is no room for so many rows."""
        if not self.has_room(count):
            raise Overloaded(
                f"{self._what}: {self.queued_rows} rows wait already, {count} more would exceed"
                f" the limit of {self._policy.max_queued_rows}"
            )

    def admit(self, submission: Submission) -> None:
        """Let a submission wait, whether there is room or not."""
        level = min(submission.priority, self._lowest)
        submission.turn = submission.submitted_at + self._handicaps[level]
        self._put(Part(submission, 0, len(submission.rows)))

    def withdraw(self, submission: Submission) -> None:
        """Forget a caller; what of it waits never runs."""
        self.queued_rows -= submission.waiting
        submission.waiting = 0

    def clear(self) -> list[Submission]:
        """Forget everybody; returns who was still waiting."""
        submissions = dict.fromkeys(part.submission for part in self._lines.clear())
        waiting = [each for each in submissions if each.waiting]
        for submission in waiting:
            self.withdraw(submission)
        return waiting

    def restore(self, batch: Batch, *, alone: bool = False) -> None:
        """Put a batch that did not run back in front; ``alone`` keeps its parts apart."""
        for part in reversed(batch.parts):
            returned = Part(part.submission, part.start, part.stop, alone or part.alone)
            self._put(returned, front=True)

    def _put(self, part: Part, *, front: bool = False) -> None:
        self._lines.add(part, front=front)
        count = part.stop - part.start
        part.submission.waiting += count
        self.queued_rows += count

    def next_turn(self) -> float:
        """The smallest turn of all rows that wait; infinite when nothing waits."""
        line = self._lines.first()
        return inf if line is None else line[0].submission.turn

    def take(self, *, max_rows: int, now: float) -> Taken:
        """The next batch: at most ``max_rows`` rows and, beyond the first row, so many bytes."""
        expired: list[Submission] = []
        while (line := self._lines.first()) is not None:
            # What one row takes matters to others alone.
            room = self._room(line, max_rows) if len(line) > 1 or line[0].stop > 1 else 1
            parts: list[Part] = []
            seen = rows = 0
            for part in line:
                if rows >= room or (parts and (part.alone or parts[0].alone)):
                    break
                seen += 1
                if not self._is_unwanted(part, now, expired):
                    parts.append(part)
                    rows += part.stop - part.start
            wanted = self._batch_rows(min(rows, room))
            parts, left = (parts, []) if rows == wanted else cut(parts, wanted)
            line[:seen] = left
            if parts:
                for part in parts:
                    self._took(part)
                return Taken(Batch(tuple(parts)), tuple(expired))
        return Taken(None, tuple(expired))

    def goes_ahead_at(self, max_rows: int) -> float | None:
        """From when on the next batch need not wait for an idle agent; None: it has to.

        At once when it would have no room for one more row; else when its oldest row was
        held back for the longest delay.
        """
        line = self._lines.first()
        if line is None:
            return None
        full = self._batch_rows(self._room(line, max_rows))
        rows, since = 0, line[0].submission.submitted_at
        for part in line:
            if not part.submission.waiting:
                continue
            rows += part.stop - part.start
            since = min(since, part.submission.submitted_at)
            if rows >= full or part.alone:
                return since
        delay = self._policy.max_queue_delay_seconds
        return None if delay is None else since + delay

    def _room(self, line: list[Part], max_rows: int) -> int:
        if max_rows == 1:
            return 1
        return max(1, min(max_rows, self._max_bytes // max(1, line[0].submission.row_bytes)))

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
