"""(pure) Sequences that go on here, and whose cache comes from the agent that computed it."""

from collections.abc import Iterable
from typing import NamedTuple

from services.worker.generation.counts import Counts
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.running import Running
from services.worker.generation.sequences import Sequence, State
from services.worker.generation.sources import Fetch, Parcel
from services.worker.generation.steps import Import

# So many steps' worth of a sequence may be on its way: one is taken in while the next one comes.
_WINDOW = 2


class Taken(NamedTuple):
    """A parcel that a step puts into the slot of its sequence."""

    sequence: Sequence
    parcel: Parcel


class Fetching:
    """Asks for what sequences lack, some of it at a time, and lets them decode when it is there."""

    def __init__(self, rules: SchedulerRules, running: Running, counts: Counts) -> None:
        self._most_tokens = rules.transfer_tokens
        self._running = running
        self._counts = counts

    def begin(self, sequence: Sequence) -> None:
        """A sequence that has a source took a slot."""
        assert sequence.source is not None
        sequence.fetch = Fetch(sequence.source, sequence.computed)
        sequence.state = State.FETCHING
        self._ask(sequence, sequence.fetch)

    def plan(self) -> list[Taken]:
        """The parcels that the next step takes in; whose cache is complete decodes in it."""
        taken: list[Taken] = []
        left = self._most_tokens
        for sequence in self._running.line:
            fetch = sequence.fetch
            if sequence.state is not State.FETCHING or fetch is None:
                continue
            while (count := fetch.next_tokens) and (not taken or count <= left):
                left -= count
                sequence.computed += count
                taken.append(Taken(sequence, fetch.take()))
            if sequence.computed == fetch.source.tokens:
                sequence.state = State.DECODING
            elif fetch.source.is_lost and not fetch.next_tokens:
                # What is missing is computed here.
                sequence.drop_source()
                sequence.state = State.PREFILLING
            else:
                self._ask(sequence, fetch)
        return taken

    def _ask(self, sequence: Sequence, fetch: Fetch) -> None:
        fetch.ask(sequence.computed, most=self._most_tokens, window=_WINDOW * self._most_tokens)

    @staticmethod
    def imports(taken: list[Taken]) -> tuple[Import, ...]:
        """As a step says it, without those of sequences that were preempted since; see ``plan``."""
        gone = [each for each in taken if each.sequence.slot < 0]
        for each in gone:
            taken.remove(each)
            each.parcel.memory.release()
        return tuple(Import(each.sequence.slot, each.parcel) for each in taken)

    def done(self, taken: Iterable[Taken]) -> None:
        """They are in the cache."""
        for sequence, parcel in taken:
            self._counts.transferred_tokens += parcel.tokens
            self._counts.transferred_bytes += parcel.memory.size
            parcel.memory.release()
            if sequence.slot < 0 or sequence.source is None:
                continue  # it ended meanwhile
            self._running.publish(sequence)
            if sequence.state is State.DECODING:
                self._counts.hand_overs += 1
                sequence.drop_source()

    @staticmethod
    def lose(taken: Iterable[Taken]) -> None:
        """The step came to nothing."""
        for each in taken:
            each.parcel.memory.lose()
