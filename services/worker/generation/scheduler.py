"""(pure) Decides what the sequences of one agent do, step by step.

Events come in by methods, each of which returns what callers are to be told; ``schedule``
says what the agent does next. Time is an argument, in seconds on one clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from services.worker.generation.counts import Counts
from services.worker.generation.hashes import BlockHashes
from services.worker.generation.line import Line
from services.worker.generation.planner import Plan, Planner
from services.worker.generation.prompts import Prompt
from services.worker.generation.rows import Packing, Row
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.running import Running
from services.worker.generation.sequences import Finish, Sequence, State
from services.worker.generation.steps import Outcome, Step
from shared.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    Overloaded,
    ServingError,
)

# Deadlines of sequences that ended are swept away when there are so many.
_MOST_OLD_DEADLINES = 64


@dataclass(frozen=True, slots=True)
class Output:
    """What a caller is told of a sequence: tokens of its completion, and whether it ended."""

    sequence: Sequence
    tokens: tuple[int, ...] = ()
    finish: Finish | None = None


class Scheduler:
    """The sequences of one agent; ``what`` names their model in messages."""

    def __init__(self, what: str, rules: SchedulerRules) -> None:
        self._what = what
        self._rules = rules
        self._waiting = Line()
        self._running = Running(rules)
        self.counts = Counts()
        self._planner = Planner(rules, self._running, self._waiting, self.counts)
        self._packing = Packing(rules)
        self._deadlines: list[tuple[float, int, Sequence]] = []
        self._arrivals = 0
        self._steps = 0
        self._outstanding: Step | None = None
        self._rows: list[Row] = []
        self._ahead: tuple[Step, list[Row]] | None = None
        """The step that follows the outstanding one."""

    @property
    def waiting(self) -> int:
        """How many sequences wait."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """How many sequences have a slot."""
        return len(self._running.line)

    @property
    def blocks_used(self) -> int:
        """How many blocks sequences that run refer to."""
        return self._running.pool.referenced

    @property
    def blocks_cached(self) -> int:
        """How many blocks hold what may be shared, and are used by nobody."""
        return self._running.pool.cached

    def add(self, prompt: Prompt, now: float) -> tuple[Sequence, ...]:
        """Let a prompt wait; returns one sequence for each of its copies.

        Raises InvalidRequest for what can never be continued, Overloaded when too many wait.
        """
        prompt.check(self._what, self._rules)
        waiting = len(self._waiting)
        if waiting + prompt.copies > self._rules.max_waiting:
            raise Overloaded(
                f"{self._what}: {waiting} sequences wait already, {prompt.copies} more would"
                f" exceed the limit of {self._rules.max_waiting}"
            )
        turn = now + self._rules.handicap(prompt.priority)
        first = self._arrivals
        self._arrivals += prompt.copies
        added = tuple(
            Sequence(prompt, self._rules, number=number, family=first, turn=turn, now=now)
            for number in range(first, self._arrivals)
        )
        for sequence in added:
            self._waiting.add(sequence)
            if prompt.deadline is not None:
                self._keep_deadline(prompt.deadline.at, sequence)
        return added

    def adopt(self, other: Sequence, now: float) -> Sequence:
        """Go on with a text that the scheduler of a lost agent had; it is bounded there already.

        One that was being computed when agents were lost is computed alone here, too.
        """
        sequence = Sequence(
            other.as_prompt(),
            self._rules,
            number=self._arrivals,
            family=self._arrivals,
            turn=other.turn,
            now=now,
        )
        self._arrivals += 1
        sequence.losses = other.losses
        sequence.started_at, sequence.cached_tokens = other.started_at, other.cached_tokens
        self._waiting.add(sequence)
        if sequence.prompt.deadline is not None:
            self._keep_deadline(sequence.prompt.deadline.at, sequence)
        if sequence.losses:
            self._planner.suspect([sequence])
        return sequence

    def known_tokens(self, prompt: Prompt) -> int:
        """How many tokens a prompt begins with whose cache is here."""
        if not self._rules.prefix_cache:
            return 0
        size = self._rules.block_size
        hashes = BlockHashes(size, adapter=prompt.adapter, salt=prompt.salt)
        return size * len(self._running.pool.match(hashes.of(prompt.tokens)))

    def cancel(self, sequence: Sequence, finish: Finish = Finish.ABORT) -> Output | None:
        """End a sequence, wherever it is; None: it ended before. Its slot is free at once."""
        if sequence.state is State.FINISHED:
            return None
        return self._end(sequence, finish)

    def schedule(self, now: float) -> Step | None:
        """The next step; None while one is under way, or when there is nothing to do."""
        if self._outstanding is not None:
            return None
        plan = self._planner.plan(now)
        if not plan.rows:
            return None
        self._rows, self._outstanding = plan.rows, self._step(plan)
        return self._outstanding

    def schedule_ahead(self, now: float) -> Step | None:
        """The step after the one under way, if it is the same whatever comes of that one.

        None, too, while there is such a step already.
        """
        if self._outstanding is None or self._ahead is not None:
            return None
        plan = self._planner.plan_ahead(self._rows, now)
        if plan is None or not plan.rows:
            return None
        step = self._step(plan)
        self._ahead = step, plan.rows
        return step

    def _step(self, plan: Plan) -> Step:
        self._steps += 1
        stores, freed = self._running.changes()
        return Step(
            self._steps,
            stores,
            freed,
            tuple(plan.starts),
            prefills=self._packing.prefills(plan.rows),
            decode=self._packing.decode(plan.rows),
        )

    def step_done(self, step: Step, outcomes: Mapping[int, Outcome], now: float) -> list[Output]:
        """Take in what came of a step, by slot; nothing of one that was lost meanwhile.

        A row in the midst of a prompt needs no outcome.
        """
        if step is not self._outstanding:
            return []
        rows = self._rows
        self._outstanding, self._rows = self._ahead or (None, [])
        self._ahead = None
        outputs = []
        for row in rows:
            if row.sequence.state is not State.FINISHED:
                outcome = outcomes.get(row.sequence.slot, Outcome())
                if (output := self._row_done(row, outcome)) is not None:
                    outputs.append(output)
        return outputs + self.tick(now)

    def lost(self, error: ServingError, now: float, *, began: bool = True) -> list[Output]:
        """The agent is gone, and all that it held: what ran waits to be computed again.

        The same when a step failed as a whole. A sequence that was computed in so many losses
        as the rules let it survive ends with the error; not if the step never ``began``.
        """
        suspects = [row.sequence for row in self._rows] if self._outstanding and began else []
        self._rows, self._outstanding, self._ahead = [], None, None
        for sequence in suspects:
            sequence.losses += 1
        self._planner.suspect(suspects)
        outputs = []
        for sequence in self._running.clear():
            if sequence.losses > self._rules.recoveries:
                outputs.append(self._end(sequence, Finish.ERROR, error))
            else:
                sequence.state = State.WAITING
                self._waiting.add(sequence)
        return outputs + self.tick(now)

    def tick(self, now: float) -> list[Output]:
        """End the sequences whose time is over."""
        outputs = []
        while self._deadlines and self._deadlines[0][0] <= now:
            sequence = heappop(self._deadlines)[2]
            if sequence.state is not State.FINISHED:
                where = sequence.state.value
                error = DeadlineExceeded(
                    f"{self._what}: the time was over while the sequence was {where},"
                    f" with {sequence.generated} tokens of its completion made"
                )
                outputs.append(self._end(sequence, Finish.DEADLINE, error))
        return outputs

    def due_at(self) -> float | None:
        """When ``tick`` is needed next; None: not by now."""
        while self._deadlines and self._deadlines[0][2].state is State.FINISHED:
            heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    def _keep_deadline(self, at: float, sequence: Sequence) -> None:
        heappush(self._deadlines, (at, sequence.number, sequence))
        if len(self._deadlines) > 2 * (self.waiting + self.running) + _MOST_OLD_DEADLINES:
            self._deadlines = [
                each for each in self._deadlines if each[2].state is not State.FINISHED
            ]
            heapify(self._deadlines)

    def _row_done(self, row: Row, outcome: Outcome) -> Output | None:
        sequence = row.sequence
        error = outcome.error or self._wrong(row, outcome)
        if error is not None:
            return self._end(sequence, Finish.ERROR, error)
        self.counts.computed_tokens += len(row.tokens)
        sampled = len(outcome.tokens)
        if sequence.state is State.DECODING:
            self.counts.accepted_tokens += max(sampled - 1, 0)
        tokens, finish = sequence.append(outcome.tokens)
        if outcome.complete and finish is None:
            finish = Finish.STOP
        # Of what was sampled beyond the end nothing is known to others.
        sequence.computed = min(row.computed(sampled), len(sequence.tokens))
        if row.samples:
            sequence.state = State.DECODING
        self._running.publish(sequence)
        if finish is not None:
            self._end(sequence, finish)
        return Output(sequence, tokens, finish) if tokens or finish is not None else None

    def _wrong(self, row: Row, outcome: Outcome) -> ServingError | None:
        least = 0 if outcome.complete else min(row.samples, 1)
        if least <= len(outcome.tokens) <= row.samples:
            return None
        return ExecutionFailed(
            f"{self._what}: the agent answered a row with {len(outcome.tokens)} tokens,"
            f" expected {least} to {row.samples}"
        )

    def _end(self, sequence: Sequence, finish: Finish, error: ServingError | None = None) -> Output:
        if sequence.slot >= 0:
            self._running.release(sequence)
        elif sequence.state is State.WAITING:
            self._waiting.remove(sequence)
        sequence.state, sequence.finish, sequence.error = State.FINISHED, finish, error
        return Output(sequence, (), finish)
