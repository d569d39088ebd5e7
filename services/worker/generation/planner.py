"""(pure) What the next step computes: who decodes, whose prompt goes on, who starts."""

from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Several
from dataclasses import dataclass, field

from services.worker.generation.counts import Counts
from services.worker.generation.fetching import Fetching, Taken
from services.worker.generation.line import Line
from services.worker.generation.rows import Row
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.running import Running
from services.worker.generation.sequences import Sequence, State
from services.worker.generation.steps import Start

# The token that the step before samples: the agent has it.
_UNKNOWN = (-1,)


@dataclass(slots=True)
class Plan:
    """One step as it is put together."""

    now: float
    budget: int
    """How many tokens more it may compute."""
    rows: list[Row] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    taken: list[Taken] = field(default_factory=list)
    has_chunk: bool = False
    """Whether a prompt is among the rows."""

    def add(self, row: Row) -> None:
        """Compute these tokens, too."""
        self.rows.append(row)
        self.budget -= len(row.tokens)


class Planner:
    """Fills a step: decoding sequences first, then prompts in order, then proposed tokens.

    Slots and blocks go by one order, in which sequences are started and against which they
    are preempted. So the first of those that run is never preempted, and nobody starves.
    """

    def __init__(
        self,
        rules: SchedulerRules,
        running: Running,
        waiting: Line,
        fetching: Fetching,
        counts: Counts,
    ) -> None:
        self._rules = rules
        self._longest_chunk = rules.longest_chunk
        self._shortest_chunk = rules.shortest_chunk
        self._running = running
        self._waiting = waiting
        self._fetching = fetching
        self._counts = counts
        # With how many tokens of their completions had been made when the agent was lost.
        self._suspects: deque[tuple[Sequence, int]] = deque()

    def suspect(self, sequences: Iterable[Sequence]) -> None:
        """Compute these alone, one after the other, each until it made a token.

        The agent was lost while it computed them: who broke it breaks it alone if it must.
        """
        self._suspects.extend((sequence, sequence.generated) for sequence in sequences)

    def plan(self, now: float) -> Plan:
        """The rows of the next step; none if there is nothing to do."""
        plan = Plan(now, self._rules.token_budget)
        if self._try_suspect(plan):
            return plan
        plan.taken = self._fetching.plan()
        preemptions = self._counts.preemptions
        self._decode(plan)
        for sequence in self._running.line:
            if sequence.state is State.PREFILLING:
                self._prefill(sequence, plan)
        # Who was preempted would take back the blocks that others need.
        if preemptions == self._counts.preemptions:
            self._start(plan)
        if self._rules.speculated_tokens:
            self._speculate(plan)
        return plan

    def plan_ahead(self, under_way: Several[Row], now: float) -> Plan | None:
        """The rows of the step after the one of these rows, whatever comes of those.

        None if that cannot be known: unless all of them decode, nobody else could, nobody waits
        for what they may leave, and there are blocks for all. A row whose sequence turns out to
        have ended is computed in vain.
        """
        going_on = [row.sequence for row in under_way if row.sequence.state is State.DECODING]
        if (
            self._suspects
            or not self._rules.ahead
            or self._rules.speculated_tokens
            or len(going_on) < len(self._running.line)
        ):
            return None
        left = [each for each in going_on if len(each.tokens) + 1 < each.most_tokens]
        if len(self._waiting) and (self._running.has_free_slot or len(left) < len(going_on)):
            return None
        plan = Plan(now, self._rules.token_budget)
        for sequence in left:
            if not self._running.grow(sequence, len(sequence.tokens) + 1):
                return None
            plan.add(Row(sequence, sequence.computed + 1, _UNKNOWN, 1))
        return plan

    def _try_suspect(self, plan: Plan) -> bool:
        while self._suspects:
            sequence, generated = self._suspects[0]
            if sequence.state is State.FINISHED or sequence.generated > generated:
                self._suspects.popleft()
                continue
            if sequence.state is State.WAITING:
                shared = self._running.shared_blocks(sequence)
                if not self._running.has_free_slot or not self._running.fits(sequence, shared):
                    return False  # until others ended
                self._give_slot(sequence, shared, plan)
            if sequence.source is not None:
                # Alone means that no other agent has to do with it.
                sequence.drop_source()
                sequence.state = State.PREFILLING
            self._prefill(sequence, plan)
            return True
        return False

    def _decode(self, plan: Plan) -> None:
        for sequence in self._running.line:
            # The ones preempted for those before them wait by now.
            if sequence.state is State.DECODING and self._make_room(sequence):
                plan.add(Row(sequence, sequence.computed, (sequence.tokens[-1],), 1))

    def _make_room(self, sequence: Sequence) -> bool:
        """Have a block for its next token, whoever must wait for it; False: it must itself."""
        while not self._running.grow(sequence, len(sequence.tokens)):
            last = self._running.line.last
            self._running.release(last)
            last.state = State.WAITING
            last.preemptions += 1
            self._counts.preemptions += 1
            self._waiting.add(last)
            if last is sequence:
                return False
        return True

    def _prefill(self, sequence: Sequence, plan: Plan) -> None:
        first = sequence.computed
        if count := self._chunk(len(sequence.tokens) - first, plan):
            plan.has_chunk = True
            samples = int(first + count == len(sequence.tokens))
            tokens = tuple(sequence.tokens[first : first + count])
            plan.add(Row(sequence, first, tokens, samples))

    def _chunk(self, left: int, plan: Plan) -> int:
        """How many of the tokens that a prompt lacks are computed in this step.

        A scrap of the budget is not worth a call, but somebody's prompt always goes on.
        """
        count = min(left, self._longest_chunk, plan.budget)
        return 0 if plan.has_chunk and count < min(left, self._shortest_chunk) else count

    def _start(self, plan: Plan) -> None:
        if not self._rules.continuous and any(
            sequence.state is State.DECODING for sequence in self._running.line
        ):
            return
        in_the_making = self._in_the_making()
        for sequence in self._waiting:
            if not self._running.has_free_slot:
                return
            shared = self._running.shared_blocks(sequence)
            cached = len(shared) * self._rules.block_size
            left = len(sequence.tokens) - cached
            if self._had_better_wait(sequence, len(shared), left, in_the_making):
                continue  # others need not wait for that
            fetches = sequence.source is not None and sequence.source.has_beyond(cached)
            if not fetches and not self._chunk(left, plan):
                return
            if not self._running.fits(sequence, shared):
                return
            self._give_slot(sequence, shared, plan)
            in_the_making.update(_missing_hashes(sequence))
            if fetches:
                self._fetching.begin(sequence)
            else:
                sequence.drop_source()
                self._prefill(sequence, plan)

    def _in_the_making(self) -> set[bytes]:
        """The blocks that will be full and shared once prompts are computed, or have come."""
        found: set[bytes] = set()
        if len(self._waiting):
            for sequence in self._running.line:
                if sequence.state is State.PREFILLING or sequence.source is not None:
                    found.update(_missing_hashes(sequence))
        return found

    def _had_better_wait(
        self, sequence: Sequence, shared: int, left: int, in_the_making: set[bytes]
    ) -> bool:
        """Whether at least half of what it lacks can soon be loaded."""
        if not self._rules.continuous:
            return False  # soon the batch decodes, and nobody starts any more
        coming = 0
        for block_hash in sequence.block_hashes()[shared:]:
            if block_hash not in in_the_making:
                break
            coming += 1
        return coming > 0 and 2 * coming * self._rules.block_size >= left

    def _give_slot(self, sequence: Sequence, shared: list[int], plan: Plan) -> None:
        self._waiting.remove(sequence)
        plan.starts.append(self._running.start(sequence, shared))
        if sequence.started_at is None:
            sequence.started_at = plan.now
            sequence.cached_tokens = sequence.computed
        if sequence.source is None:
            self._counts.prefix_queries += len(sequence.tokens)
            self._counts.prefix_hits += sequence.computed

    def _speculate(self, plan: Plan) -> None:
        for index, row in enumerate(plan.rows):
            sequence = row.sequence
            if not row.decodes or sequence.lookup is None:
                continue
            count = min(
                self._rules.speculated_tokens,
                self._longest_chunk - 1,
                plan.budget,
                sequence.most_tokens - len(sequence.tokens) - 1,
            )
            proposed = sequence.lookup.propose(sequence.tokens, count)
            if proposed and self._running.grow(sequence, len(sequence.tokens) + len(proposed)):
                tokens = row.tokens + proposed
                plan.rows[index] = Row(sequence, row.first, tokens, len(tokens))
                plan.budget -= len(proposed)
                self._counts.proposed_tokens += len(proposed)


def _missing_hashes(sequence: Sequence) -> list[bytes]:
    return sequence.block_hashes()[sequence.published :]
