"""(pure) The sequences that run, and what they hold of the device: slots and blocks."""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

from services.worker.generation.blocks import BlockPool
from services.worker.generation.line import Line
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.sequences import Sequence, State
from services.worker.generation.steps import Start, Store


class Running:
    """Slots and blocks of one device, and who has them.

    What changes is noted for the next step: slots that became free, blocks to be stored.
    """

    def __init__(self, rules: SchedulerRules) -> None:
        self._rules = rules
        self.line = Line()
        self.pool = BlockPool(rules.blocks)
        self._free_slots = list(range(rules.slots))
        heapify(self._free_slots)
        self._stores: list[Store] = []
        self._freed: list[int] = []

    @property
    def free_slots(self) -> int:
        """How many sequences more may run."""
        return len(self._free_slots)

    @property
    def has_free_slot(self) -> bool:
        """Whether one more sequence may run."""
        return bool(self._free_slots)

    def shared_blocks(self, sequence: Sequence) -> list[int]:
        """The blocks that hold its beginning; at least one token is left to be computed."""
        most = (len(sequence.tokens) - 1) // self._rules.block_size
        return self.pool.match(sequence.block_hashes()[:most])

    def fits(
        self, sequence: Sequence, shared: list[int], *, before: Iterable[Sequence] = ()
    ) -> bool:
        """Whether there are blocks for all of its tokens, and to spare if others run.

        And for those that start ``before`` it.
        """
        wanted = self._rules.blocks_of(len(sequence.tokens)) - len(shared)
        wanted += sum(self._rules.blocks_of(len(each.tokens)) for each in before)
        spare = self._rules.spare_blocks if len(self.line) else 0
        return wanted + spare <= self.pool.room_beside(shared)

    def start(self, sequence: Sequence, shared: list[int]) -> Start:
        """Give a sequence that fits the lowest free slot, and blocks for all of its tokens."""
        self.pool.share(shared)
        wanted = self._rules.blocks_of(len(sequence.tokens)) - len(shared)
        sequence.blocks = shared + self.pool.allocate(wanted)
        sequence.published = len(shared)
        sequence.computed = len(shared) * self._rules.block_size
        sequence.slot = heappop(self._free_slots)
        sequence.state = State.PREFILLING
        self.line.add(sequence)
        return Start(sequence.slot, sequence.number, tuple(shared))

    def grow(self, sequence: Sequence, tokens: int) -> bool:
        """Have blocks for so many tokens of a sequence; False if there are too few."""
        wanted = self._rules.blocks_of(tokens) - len(sequence.blocks)
        if wanted > self.pool.available:
            return False
        if wanted > 0:
            sequence.blocks += self.pool.allocate(wanted)
        return True

    def publish(self, sequence: Sequence) -> None:
        """Let the blocks be shared that are full by now."""
        full = sequence.computed // self._rules.block_size
        if full <= sequence.published or sequence.hashes is None:
            return
        hashes = sequence.block_hashes()
        for index in range(sequence.published, full):
            block = sequence.blocks[index]
            if self.pool.publish(block, hashes[index]):
                self._stores.append(Store(sequence.slot, index, block))
        sequence.published = full

    def release(self, sequence: Sequence) -> None:
        """Take slot and blocks from a sequence that runs."""
        self.line.remove(sequence)
        self.pool.release(sequence.blocks)
        sequence.end_fetch()
        self._freed.append(sequence.slot)
        heappush(self._free_slots, sequence.slot)
        sequence.blocks, sequence.slot = [], -1
        sequence.computed = sequence.published = 0

    def clear(self) -> list[Sequence]:
        """Forget what the device held, which is lost; returns the sequences that ran, in order."""
        ran = list(self.line)
        for sequence in ran:
            self.release(sequence)
        self.pool = BlockPool(self._rules.blocks)
        self.changes()
        return ran

    def changes(self) -> tuple[tuple[Store, ...], tuple[int, ...]]:
        """What is to be stored and which slots became free since this was asked last."""
        stores, freed = tuple(self._stores), tuple(self._freed)
        self._stores.clear()
        self._freed.clear()
        return stores, freed
