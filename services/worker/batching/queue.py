"""The queue in front of one servable version's models: the shell around the batcher.

Rows wait only while every agent that holds the version is busy; a full batch is handed
over while the one before it runs, so that the device never waits for one. There is no
timer: rows that come in one turn of the event loop go together, and an agent that
becomes idle takes what waits.
"""

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from services.worker.batching.batcher import Batch, Batcher, Row, Submission
from services.worker.batching.executors import Executor, Executors
from services.worker.metrics import Metrics
from shared.arena import Column
from shared.deadline import Deadline
from shared.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InternalError,
    Refused,
    ServingError,
)
from shared.servable import ModelSpec, ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import TaskScope, task_scope
from shared.tensors import Array

log = structlog.get_logger()

# One hand-over to an agent carries at most this much, whatever the row limit.
_MAX_BATCH_BYTES = 128 << 20

RowOutcome = tuple[Array, ...] | ServingError


@dataclass(slots=True, eq=False)
class _Caller:
    """Somebody who waits for the rows of one submission."""

    done: asyncio.Future[None]
    outcomes: list[RowOutcome | None]
    missing: int


class BatchQueue:
    """Batches the rows of one servable version's models over its agents."""

    def __init__(
        self,
        what: ServableVersion,
        models: Iterable[ModelSpec],
        executors: Executors,
        scope: TaskScope,
        metrics: Metrics,
        *,
        max_queued_rows: int,
    ) -> None:
        self._what = what
        self._models = {model.key: model for model in models}
        self._executors = executors
        self._scope = scope
        self._metrics = metrics
        metrics.queued_rows.labels(what.servable, what.version).set_function(self._queued_rows)
        self._max_queued_rows = max_queued_rows
        self._batchers: dict[ModelCall, Batcher] = {}
        self._callers: dict[Submission, _Caller] = {}
        self._handed: dict[asyncio.Task[None], tuple[Executor, Batch]] = {}
        self._pumps_soon = False

    async def submit(
        self, call: ModelCall, rows: Sequence[Row], deadline: Deadline | None
    ) -> list[RowOutcome]:
        """Execute rows, batched with those of others; an outcome for each, in order.

        Raises Overloaded when there is no room for the rows.
        """
        if len(rows) == 1:
            return await self._wait(call, self._group(call, rows[0]), rows, deadline)
        outcomes: list[RowOutcome] = [InternalError("not executed")] * len(rows)
        groups: dict[Hashable, list[int]] = {}
        for index, row in enumerate(rows):
            groups.setdefault(self._group(call, row), []).append(index)
        if len(groups) == 1:
            return await self._wait(call, next(iter(groups)), rows, deadline)
        async with task_scope() as scope:
            waits = [
                scope.spawn(
                    self._wait(call, group, [rows[index] for index in indices], deadline),
                    name=f"rows of {call.model}",
                )
                for group, indices in groups.items()
            ]
            parts = await asyncio.gather(*waits)
        for indices, part in zip(groups.values(), parts, strict=True):
            for index, outcome in zip(indices, part, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _group(self, call: ModelCall, row: Row) -> Hashable:
        unbatched = self._models[call.model].without_batch_dim_inputs
        kinds = tuple([(array.dtype.num, array.shape) for array in row])
        if not unbatched:
            return kinds
        return (kinds, *[row[index].tobytes() for index in unbatched if index < len(row)])

    async def _wait(
        self, call: ModelCall, group: Hashable, rows: Sequence[Row], deadline: Deadline | None
    ) -> list[RowOutcome]:
        loop = asyncio.get_running_loop()
        batcher = self._batchers.get(call)
        if batcher is None:
            where = f"{self._what}, model '{call.model}'"
            batcher = self._batchers[call] = Batcher(where, self._max_queued_rows)
        if not batcher.has_room(len(rows)):
            # Nobody is refused while an agent is idle.
            self.pump()
        submission = Submission(group, rows, deadline, loop.time())
        batcher.admit(submission)
        caller = _Caller(loop.create_future(), [None] * len(rows), len(rows))
        self._callers[submission] = caller
        if not self._pumps_soon:
            self._pumps_soon = True
            loop.call_soon(self._pump_once)
        try:
            await caller.done
        finally:
            del self._callers[submission]
            batcher.withdraw(submission)
            if caller.missing:
                self._take_back(submission)
        return [outcome for outcome in caller.outcomes if outcome is not None]

    def _pump_once(self) -> None:
        self._pumps_soon = False
        self.pump()

    def pump(self) -> None:
        """Start batches while rows wait and an agent is idle, or a full batch can follow one."""
        while (oldest := self._oldest()) is not None:
            call, batcher = oldest
            max_rows = self._executors.max_rows(self._what, call.model)
            executor = self._executors.take_idle(self._what)
            if executor is None and batcher.fills(max_rows):
                # Nobody could join it: it need not wait here until an agent asks for more.
                executor = self._executors.take_ahead(self._what)
            if executor is None:
                break
            now = asyncio.get_running_loop().time()
            taken = batcher.take(max_rows=max_rows, max_bytes=_MAX_BATCH_BYTES, now=now)
            for expired in taken.expired:
                self._fail(expired, DeadlineExceeded("the deadline passed in the queue"))
            if taken.batch is None:
                executor.release()
                continue
            running = self._run(executor, call, batcher, taken.batch, now)
            task = self._scope.spawn(running, name=f"batch of {self._what}")
            self._handed[task] = (executor, taken.batch)
            task.add_done_callback(self._came_back)

    def _came_back(self, task: asyncio.Task[None]) -> None:
        # Not in the task, which may be cancelled before it begins. Whoever waits for an
        # idle agent is started by the release.
        executor, _ = self._handed.pop(task)
        executor.release()

    def _take_back(self, left: Submission) -> None:
        """End batches that were handed over ahead and have lost their last caller."""
        for task, (executor, batch) in self._handed.items():
            if not executor.waits or not any(part.submission is left for part in batch.parts):
                continue
            if not self._still_wanted(batch).parts:
                task.cancel()

    def _oldest(self) -> tuple[ModelCall, Batcher] | None:
        waiting = [
            (oldest, call, batcher)
            for call, batcher in self._batchers.items()
            if (oldest := batcher.oldest()) is not None
        ]
        if not waiting:
            return None
        first = min(waiting, key=lambda each: each[0]) if len(waiting) > 1 else waiting[0]
        return first[1:]

    async def _run(
        self, executor: Executor, call: ModelCall, batcher: Batcher, batch: Batch, now: float
    ) -> None:
        for part in batch.parts:
            self._metrics.queue_seconds.observe(now - part.submission.submitted_at)
        self._metrics.batch_rows.observe(batch.rows)
        try:
            outputs = await executor.execute(call, self._columns(call, batch), batch.rows)
        except Refused:
            batcher.restore(self._still_wanted(batch))
        except ExecutionFailed as failure:
            self._failed(batcher, batch, failure)
        except ServingError as failure:
            self._fail_batch(batch, failure)
        except Exception:
            log.exception("batch failed", what=str(self._what), model=call.model)
            self._fail_batch(batch, InternalError(f"internal error in {self._what}"))
        else:
            self._deliver(call, batch, outputs)

    def _failed(self, batcher: Batcher, batch: Batch, failure: ServingError) -> None:
        """One caller's values may be to blame: its neighbours get a batch of their own."""
        wanted = self._still_wanted(batch)
        if len(wanted.parts) > 1:
            batcher.restore(wanted, alone=True)
        else:
            self._fail_batch(wanted, failure)

    def _still_wanted(self, batch: Batch) -> Batch:
        return Batch(tuple(part for part in batch.parts if part.submission in self._callers))

    def _columns(self, call: ModelCall, batch: Batch) -> list[Column]:
        """The batch input by input: rows to stack, or one array for all of them."""
        model = self._models[call.model]
        rows = [row for part in batch.parts for row in part.rows]
        if not model.with_batch_dim:
            return list(rows[0])
        return [
            column[0] if index in model.without_batch_dim_inputs else list(column)
            for index, column in enumerate(zip(*rows, strict=True))
        ]

    def _deliver(self, call: ModelCall, batch: Batch, outputs: Sequence[Array]) -> None:
        batched = self._models[call.model].with_batch_dim
        at = 0
        for part in batch.parts:
            count = part.stop - part.start
            caller = self._callers.get(part.submission)
            if caller is not None:
                caller.outcomes[part.start : part.stop] = [
                    tuple([output[row, ...] for output in outputs]) if batched else tuple(outputs)
                    for row in range(at, at + count)
                ]
                _arrived(caller, count)
            at += count

    def _fail_batch(self, batch: Batch, failure: ServingError) -> None:
        for part in batch.parts:
            caller = self._callers.get(part.submission)
            if caller is not None:
                count = part.stop - part.start
                caller.outcomes[part.start : part.stop] = [failure] * count
                _arrived(caller, count)

    def _fail(self, submission: Submission, failure: ServingError) -> None:
        """End a caller's wait: rows without an outcome have failed."""
        caller = self._callers.get(submission)
        if caller is not None:
            caller.outcomes = [failure if each is None else each for each in caller.outcomes]
            _arrived(caller, caller.missing)

    def give_up(self, failure: ServingError) -> None:
        """Fail every row that waits."""
        for batcher in self._batchers.values():
            for submission in batcher.clear():
                self._fail(submission, failure)

    def _queued_rows(self) -> int:
        return sum(batcher.queued_rows for batcher in self._batchers.values())


def _arrived(caller: _Caller, count: int) -> None:
    caller.missing -= count
    if caller.missing == 0 and not caller.done.done():
        caller.done.set_result(None)
