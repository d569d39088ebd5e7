"""Those who wait for rows, and how outcomes reach them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from services.worker.batching.parts import Batch, RowOutcome, Submission
from shared.errors import ServingError
from shared.tensors import Array


@dataclass(slots=True, eq=False)
class Caller:
    """Somebody who waits for rows, in a submission for each group among them."""

    done: asyncio.Future[None]
    outcomes: list[RowOutcome | None]
    missing: int
    """Rows without an outcome."""

    def arrived(self, first: int, outcomes: Sequence[RowOutcome]) -> None:
        """Some rows have their outcomes; the last of them wake the caller."""
        self.outcomes[first : first + len(outcomes)] = outcomes
        self.missing -= len(outcomes)
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)


def deliver(batch: Batch, outputs: Sequence[Array], *, batched: bool) -> None:
    """Outputs of a model for a batch; ``batched``: they have a row for each of its rows."""
    at = 0
    for part in batch.parts:
        begin, at = at, at + part.stop - part.start
        caller = part.submission.caller
        if caller is None:
            continue
        if batched:
            rows = [tuple([output[row, ...] for output in outputs]) for row in range(begin, at)]
        else:
            rows = [tuple(outputs)] * (at - begin)
        caller.arrived(part.submission.first + part.start, rows)


def fail_batch(batch: Batch, failure: ServingError) -> None:
    """The rows of a batch failed."""
    for part in batch.parts:
        caller = part.submission.caller
        if caller is not None:
            outcomes = [failure] * (part.stop - part.start)
            caller.arrived(part.submission.first + part.start, outcomes)


def fail(submission: Submission, failure: ServingError) -> None:
    """The rows of a submission that have no outcome yet failed."""
    caller = submission.caller
    if caller is not None:
        for row in range(submission.first, submission.first + len(submission.rows)):
            if caller.outcomes[row] is None:
                caller.arrived(row, [failure])


def wanted(batch: Batch) -> Batch:
    """What of a batch somebody waits for."""
    return Batch(tuple([part for part in batch.parts if part.submission.caller is not None]))
