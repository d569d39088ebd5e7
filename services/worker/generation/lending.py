"""(pure) Sequences whose prompts were computed here, and which go on with another agent."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from services.worker.generation.rows import Row
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.running import Running
from services.worker.generation.sequences import Sequence, State
from services.worker.generation.sources import Early, Fetch, Source
from services.worker.generation.steps import Export


class _Asked(NamedTuple):
    sequence: Sequence
    fetch: Fetch
    first: int
    tokens: int


class Lending:
    """Keeps slots and blocks of sequences that others go on with until those have all of them."""

    def __init__(self, rules: SchedulerRules, running: Running) -> None:
        self._most_tokens = rules.transfer_tokens
        self._running = running
        self._lent: dict[Sequence, Source] = {}
        self._asked: deque[_Asked] = deque()

    def lend(self, sequence: Sequence, wake: Callable[[], None]) -> Source:
        """Another scheduler has a held sequence from now on.

        ``wake`` is called when that one wants something.
        """
        sequence.state = State.LENT
        source = self._lent[sequence] = Source(
            sequence.computed,
            partial(self._ask, sequence, wake),
            partial(self._take_back, sequence, wake),
            sequence.early,
        )
        sequence.early = None
        return source

    def _ask(
        self, sequence: Sequence, wake: Callable[[], None], fetch: Fetch, first: int, count: int
    ) -> None:
        if sequence in self._lent:
            self._asked.append(_Asked(sequence, fetch, first, count))
            wake()

    def _take_back(self, sequence: Sequence, wake: Callable[[], None]) -> None:
        if self._lent.pop(sequence, None) is not None:
            self._asked = deque(each for each in self._asked if each.sequence is not sequence)
            self._running.release(sequence)
            sequence.state = State.FINISHED
            wake()

    def plan(self, rows: Iterable[Row]) -> tuple[Export, ...]:
        """What the next step gives away: in the order in which it was asked for.

        Then the caches that it completes, if ``rows`` are of prompts to be handed over: with them
        another agent goes on while this one does its next step.
        """
        exports: list[Export] = []
        left = self._most_tokens
        while self._asked and (not exports or self._asked[0].tokens <= left):
            asked = self._asked.popleft()
            left -= asked.tokens
            exports.append(Export(asked.sequence.slot, asked.first, asked.tokens, asked.fetch))
        for row in rows:
            sequence, end = row.sequence, row.first + len(row.tokens)
            # What was known here is known where it went the last time, too.
            first = sequence.cached_tokens
            if row.samples and end + 1 < sequence.most_tokens and min(left, end - first) > 0:
                count = min(left, end - first)
                left -= count
                sequence.early = Early()
                exports.append(Export(sequence.slot, first, count, sequence.early))
        return tuple(exports)

    def lose(self) -> None:
        """The agent is gone, and all that it kept for others."""
        lent, self._lent = self._lent, {}
        self._asked.clear()
        for source in lent.values():
            source.lose()
