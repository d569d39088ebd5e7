"""(pure) Decides what the sequences of one agent do, step by step.

Events come in by methods, each of which returns what callers are to be told; ``schedule``
says what the agent does next. Time is an argument, in seconds on one clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.worker.generation.arrivals import Arrivals
from services.worker.generation.counts import Counts
from services.worker.generation.deadlines import Deadlines
from services.worker.generation.fetching import Fetching, Taken
from services.worker.generation.hashes import BlockHashes
from services.worker.generation.lending import Lending
from services.worker.generation.line import Line
from services.worker.generation.planner import Plan, Planner
from services.worker.generation.prompts import Prompt
from services.worker.generation.rows import Packing, Row
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.running import Running
from services.worker.generation.sequences import Finish, Sequence, State
from services.worker.generation.sources import Source
from services.worker.generation.steps import Export, Import, Outcome, Step
from shared.errors import (
    DeadlineExceeded,
    ExecutionFailed,
    ServingError,
)


@dataclass(frozen=True, slots=True)
class Output:
    """What a caller is told of a sequence: tokens of its completion, and whether it ended."""

    sequence: Sequence
    tokens: tuple[int, ...] = ()
    finish: Finish | None = None


class Scheduler:
    """The sequences of one agent; ``what`` names their model in messages.

    One that ``hands_over`` computes prompts alone: then sequences are held for another one.
    """

    def __init__(self, what: str, rules: SchedulerRules, *, hands_over: bool = False) -> None:
        self._what = what
        self._rules = rules
        self._waiting = Line()
        self._running = Running(rules)
        self.counts = Counts()
        self._lending = Lending(rules, self._running)
        self._fetching = Fetching(rules, self._running, self.counts)
        self._planner = Planner(rules, self._running, self._waiting, self._fetching, self.counts)
        self._behind_prompt = State.HELD if hands_over else State.DECODING
        self._packing = Packing(rules)
        self._deadlines = Deadlines()
        self._arrivals = Arrivals(what, rules, self._waiting, self._deadlines)
        self._steps = 0
        self._outstanding: Step | None = None
        self._rows: list[Row] = []
        self._taken: list[Taken] = []
        """What the outstanding one takes in of caches from other agents."""
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
        return self._arrivals.add(prompt, now)

    def adopt(self, other: Sequence) -> Sequence:
        """Go on with a text that the scheduler of a lost agent had; it is bounded there already.

        One that was being computed when agents were lost is computed alone here, too.
        """
        sequence = self._arrivals.take_over(other)
        if sequence.losses:
            self._planner.suspect([sequence])
        return sequence

    def accept(self, other: Sequence, source: Source) -> Sequence:
        """Go on with a text whose prompt another scheduler's agent computed, and keeps for this."""
        sequence = self._arrivals.take_over(other)
        sequence.source = source
        if sequence.losses and other.generated > 1:
            # It was not the prompt that was being computed.
            self._planner.suspect([sequence])
        return sequence

    def lend(self, sequence: Sequence, wake: Callable[[], None]) -> Source:
        """Let another scheduler go on with a held sequence; ``wake`` hears when it wants any."""
        return self._lending.lend(sequence, wake)

    @property
    def held(self) -> list[Sequence]:
        """The sequences that wait for another scheduler, in their order."""
        return [each for each in self._running.line if each.state is State.HELD]

    def has_room(self, sequence: Sequence) -> bool:
        """Whether a sequence of another scheduler could start here, behind those before it."""
        if not self.running and not self.waiting:
            return True
        before = [each for each in self._waiting if each.turn <= sequence.turn]
        return self._running.free_slots > len(before) and self._running.fits(
            sequence, [], before=before
        )

    def known_tokens(self, prompt: Prompt) -> int:
        """How many tokens a prompt begins with whose cache is here."""
        if not self._rules.prefix_cache:
            return 0
        size = self._rules.block_size
        hashes = BlockHashes(size, adapter=prompt.adapter, salt=prompt.salt)
        return size * len(self._running.pool.match(hashes.of(prompt.tokens)))

    def known_tokens_of(self, sequence: Sequence) -> int:
        """The same for a text of another scheduler."""
        return self._rules.block_size * len(self._running.pool.match(sequence.block_hashes()))

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
        handed_over = plan.rows if self._behind_prompt is State.HELD else ()
        imports, exports = self._fetching.imports(plan.taken), self._lending.plan(handed_over)
        if not (plan.rows or plan.starts or imports or exports):
            return None
        self._rows, self._taken = plan.rows, plan.taken
        self._outstanding = self._step(plan, imports, exports)
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

    def _step(
        self, plan: Plan, imports: tuple[Import, ...] = (), exports: tuple[Export, ...] = ()
    ) -> Step:
        self._steps += 1
        stores, freed = self._running.changes()
        return Step(
            self._steps,
            stores,
            freed,
            tuple(plan.starts),
            imports,
            prefills=self._packing.prefills(plan.rows),
            decode=self._packing.decode(plan.rows),
            exports=exports,
        )

    def step_done(self, step: Step, outcomes: Mapping[int, Outcome], now: float) -> list[Output]:
        """Take in what came of a step, by slot; nothing of one that was lost meanwhile.

        A row in the midst of a prompt needs no outcome.
        """
        if step is not self._outstanding:
            return []
        taken, self._taken = self._taken, []
        self._fetching.done(taken)
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

        The same when a step failed as a whole. A sequence that was computed, or whose cache was
        taken in, in so many losses as the rules let it survive ends with the error; not if the
        step never ``began``.
        """
        suspects: dict[Sequence, None] = {}
        if self._outstanding and began:
            suspects = dict.fromkeys(row.sequence for row in self._rows)
            suspects |= dict.fromkeys(taken.sequence for taken in self._taken)
        self._fetching.lose(self._taken)
        self._rows, self._taken, self._outstanding, self._ahead = [], [], None, None
        self._lending.lose()
        for sequence in suspects:
            sequence.losses += 1
        self._planner.suspect(suspects)
        outputs = []
        for sequence in self._running.clear():
            if sequence.state is State.LENT:
                sequence.state = State.FINISHED  # for others to go on with
            elif sequence.losses > self._rules.recoveries:
                outputs.append(self._end(sequence, Finish.ERROR, error))
            else:
                sequence.state = State.WAITING
                self._waiting.add(sequence)
        return outputs + self.tick(now)

    def tick(self, now: float) -> list[Output]:
        """End the sequences whose time is over."""
        outputs = []
        for sequence in self._deadlines.passed(now):
            where = sequence.state.value
            error = DeadlineExceeded(
                f"{self._what}: the time was over while the sequence was {where},"
                f" with {sequence.generated} tokens of its completion made"
            )
            outputs.append(self._end(sequence, Finish.DEADLINE, error))
        return outputs

    def due_at(self) -> float | None:
        """When ``tick`` is needed next; None: not by now."""
        return self._deadlines.next_at

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
            sequence.state = self._behind_prompt
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
        sequence.drop_source()
        sequence.state, sequence.finish, sequence.error = State.FINISHED, finish, error
        return Output(sequence, (), finish)
