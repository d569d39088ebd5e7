"""The queue in front of one servable version's models: the shell around the batchers.

Rows wait only while every agent that holds the version is busy. A full batch is handed
over while the one before it runs, so that the device never waits for one; any other when
a model's ``max_queue_delay_seconds`` says that it has waited for company long enough. An
idle agent waits for no timer: rows that come in one turn of the event loop go together,
and an agent that becomes idle takes what waits.
"""

import asyncio
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence

import structlog

from services.worker.batching.batcher import Batcher
from services.worker.batching.callers import Caller, deliver, fail, fail_batch, wanted
from services.worker.batching.executors import Executor, Executors
from services.worker.batching.parts import Batch, Row, RowOutcome, Submission
from services.worker.batching.policy import BatchingPolicy
from services.worker.metrics import Metrics
from shared.arena import Column
from shared.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    InternalError,
    Refused,
    ServingError,
)
from shared.servable import ModelSpec, ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import TaskScope
from shared.urgency import Urgency

log = structlog.get_logger()

_SHORTEST_DELAY_SECONDS = 1e-3


class BatchQueue:
    """Batches the rows of one servable version's models over its agents.

    ``policies`` has one for each model, by its key.
    """

    def __init__(
        self,
        what: ServableVersion,
        models: Iterable[ModelSpec],
        executors: Executors,
        scope: TaskScope,
        metrics: Metrics,
        *,
        policies: Mapping[str, BatchingPolicy],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._what = what
        self._models = {model.key: model for model in models}
        self._executors = executors
        self._scope = scope
        self._metrics = metrics
        metrics.queued_rows.labels(what.servable, what.version).set_function(self._queued_rows)
        self._policies = policies
        self._batchers: dict[ModelCall, Batcher] = {}
        self._handed: dict[asyncio.Task[None], tuple[Executor, Batch]] = {}
        self._pumps_soon = False
        self._delay: asyncio.TimerHandle | None = None

    async def submit(
        self, call: ModelCall, rows: Sequence[Row], urgency: Urgency
    ) -> list[RowOutcome]:
        """Execute rows, batched with those of others; an outcome for each, in order.

        Raises Overloaded when there is no room for the rows.
        """
        if len(rows) == 1:
            return await self._wait(call, [(self._group(call, rows[0]), rows)], 1, urgency)
        indices: dict[Hashable, list[int]] = {}
        for index, row in enumerate(rows):
            indices.setdefault(self._group(call, row), []).append(index)
        if len(indices) == 1:
            return await self._wait(call, [(next(iter(indices)), rows)], len(rows), urgency)
        groups = [(group, [rows[index] for index in those]) for group, those in indices.items()]
        found = await self._wait(call, groups, len(rows), urgency)
        places = [index for those in indices.values() for index in those]
        outcomes = dict(zip(places, found, strict=True))
        return [outcomes[index] for index in range(len(rows))]

    def _group(self, call: ModelCall, row: Row) -> Hashable:
        unbatched = self._models[call.model].without_batch_dim_inputs
        kinds = tuple([(array.dtype.num, array.shape) for array in row])
        if not unbatched:
            return kinds
        return (kinds, *[row[index].tobytes() for index in unbatched if index < len(row)])

    async def _wait(
        self,
        call: ModelCall,
        groups: Sequence[tuple[Hashable, Sequence[Row]]],
        count: int,
        urgency: Urgency,
    ) -> list[RowOutcome]:
        """The outcomes of all rows, group by group; ``count`` is how many."""
        batcher = self._batchers.get(call) or self._new_batcher(call)
        if not batcher.has_room(count):
            # Nobody is refused while an agent is idle.
            self.pump()
            batcher.check_room(count)
        deadline, priority, _, is_kept = urgency
        caller = Caller(self._loop.create_future(), [None] * count, count)
        now, first = self._loop.time(), 0
        submissions: list[Submission] = []
        for group, rows in groups:
            submission = Submission(group, rows, deadline, now, priority, caller, first)
            submissions.append(submission)
            batcher.admit(submission)
            first += len(rows)
        if not self._pumps_soon:
            self._pumps_soon = True
            self._loop.call_soon(self._pump_once)
        timer = None
        if deadline is not None and not is_kept:
            timer = self._loop.call_at(deadline.at, self._expire, call, submissions)
        try:
            await caller.done
        finally:
            if timer is not None:
                timer.cancel()
            for submission in submissions:
                submission.caller = None
                batcher.withdraw(submission)
            if caller.missing:
                self._take_back(submissions)
        return [outcome for outcome in caller.outcomes if outcome is not None]

    def _new_batcher(self, call: ModelCall) -> Batcher:
        where = f"{self._what}, model '{call.model}'"
        batcher = self._batchers[call] = Batcher(where, self._policies[call.model])
        return batcher

    def _expire(self, call: ModelCall, submissions: Sequence[Submission]) -> None:
        """Nobody else ends these at their deadline."""
        for submission in submissions:
            place = "in the queue" if submission.waiting else "while its batch was at work"
            fail(submission, self._too_late(call, place))
            submission.caller = None
            self._batchers[call].withdraw(submission)
        self._take_back(submissions)

    def _too_late(self, call: ModelCall, place: str) -> DeadlineExceeded:
        return DeadlineExceeded(f"{self._what}, model '{call.model}': the deadline passed {place}")

    def _pump_once(self) -> None:
        self._pumps_soon = False
        self.pump()

    def pump(self) -> None:
        """Start batches while rows wait and an agent is idle, or a batch can follow one."""
        now = self._loop.time()
        while (oldest := self._oldest()) is not None:
            call, batcher = oldest
            max_rows = self._executors.max_rows(self._what, call.model)
            executor = self._executors.take_idle(self._what)
            if executor is None and self._goes_ahead(batcher, max_rows, now):
                executor = self._executors.take_ahead(self._what)
            if executor is None:
                break
            taken = batcher.take(max_rows=max_rows, now=now)
            for expired in taken.expired:
                fail(expired, self._too_late(call, "in the queue"))
            if taken.batch is None:
                executor.release()
                continue
            running = self._run(executor, call, batcher, taken.batch, now)
            task = self._scope.spawn(running, name="batch")
            self._handed[task] = (executor, taken.batch)
            task.add_done_callback(self._came_back)

    def _goes_ahead(self, batcher: Batcher, max_rows: int, now: float) -> bool:
        """Whether the next batch may be handed to a busy agent now; if later, look again then."""
        moment = batcher.goes_ahead_at(max_rows)
        if moment is None or moment <= now:
            return moment is not None
        if self._delay is not None:
            self._delay.cancel()
        # uvloop's clock has steps of a millisecond.
        delay = max(moment - now, _SHORTEST_DELAY_SECONDS)
        self._delay = self._loop.call_later(delay, self.pump)
        return False

    def _came_back(self, task: asyncio.Task[None]) -> None:
        # Not in the task, which may be cancelled before it begins. Whoever waits for an
        # idle agent is started by the release.
        executor, _ = self._handed.pop(task)
        executor.release()

    def _take_back(self, left: Collection[Submission]) -> None:
        """End batches that were handed over ahead and have lost their last caller."""
        for task, (executor, batch) in self._handed.items():
            if not executor.waits or not any(part.submission in left for part in batch.parts):
                continue
            if not wanted(batch).parts:
                task.cancel()

    def _oldest(self) -> tuple[ModelCall, Batcher] | None:
        """The model whose rows go first."""
        waiting = [each for each in self._batchers.items() if each[1].queued_rows]
        if len(waiting) < 2:
            return waiting[0] if waiting else None
        return min(waiting, key=lambda each: each[1].next_turn())

    async def _run(
        self, executor: Executor, call: ModelCall, batcher: Batcher, batch: Batch, now: float
    ) -> None:
        for part in batch.parts:
            self._metrics.queue_seconds.observe(now - part.submission.submitted_at)
        rows = batch.rows
        self._metrics.batch_rows.observe(rows)
        try:
            outputs = await executor.execute(call, self._columns(call, batch), rows)
        except Refused:
            batcher.restore(wanted(batch))
        except ExecutionFailed as failure:
            self._failed(batcher, batch, failure)
        except ServingError as failure:
            fail_batch(batch, failure)
        except Exception:
            log.exception("batch failed", what=str(self._what), model=call.model)
            fail_batch(batch, InternalError(f"internal error in {self._what}"))
        else:
            batched = self._models[call.model].with_batch_dim
            deliver(batch, outputs, batched=batched)

    def _failed(self, batcher: Batcher, batch: Batch, failure: ServingError) -> None:
        """One caller's values may be to blame: its neighbours get a batch of their own."""
        rest = wanted(batch)
        if len(rest.parts) > 1:
            batcher.restore(rest, alone=True)
        else:
            fail_batch(rest, failure)

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

    def give_up(self, failure: ServingError) -> None:
        """Fail every row that waits."""
        for batcher in self._batchers.values():
            for submission in batcher.clear():
                fail(submission, failure)

    def _queued_rows(self) -> int:
        return sum(batcher.queued_rows for batcher in self._batchers.values())
