"""(pure) The KV cache of the sequences that run.

It is one array for the keys and one for the values of each layer, with a row for each slot.
Graphs read these arrays as they lie. A graph for shorter or longer texts than the last one's
has rows of another size: then the whole cache is moved, once.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.agent.generation.graphs import Bucket, Kind

Floats = NDArray[np.float32]
Used = Callable[[], list[tuple[int, int]]]
"""Tells how many tokens each slot in use holds."""


class WorkingCache:
    """float32 [slots, H, S, D] for keys and values of each layer in turn."""

    def __init__(self, kind: Kind, slots: int, lengths: Sequence[int]) -> None:
        self._kind = kind
        self._slots = slots
        self._lengths = lengths
        self._gathered: dict[Bucket, list[Floats]] = {}
        self.arrays: list[Floats] = []
        self.length = 0
        """S: for how many tokens of each sequence there is room now."""
        self.moves = 0
        """How often it was moved."""
        self.clear()

    @property
    def longest(self) -> int:
        """For how many tokens of each sequence there can be room."""
        return self._lengths[-1]

    def clear(self) -> None:
        """Forget everything, and give back the memory."""
        self._gathered.clear()
        self.length = self._lengths[0]
        self.arrays = self._empty(self._slots, self.length)

    def reserve(self, length: int, used: Used) -> None:
        """Have room for so many tokens of a sequence, as far as there can be."""
        if length > self.length:
            place = bisect_left(self._lengths, min(length, self.longest))
            self.move(self._lengths[place], used())

    def move(self, length: int, used: Sequence[tuple[int, int]]) -> None:
        """Have room for exactly so many tokens; ``used``: how many tokens each slot holds."""
        if length == self.length:
            return
        moved = self._empty(self._slots, length)
        for slot, tokens in used:
            count = min(tokens, length)
            for old, new in zip(self.arrays, moved, strict=True):
                new[slot, :, :count] = old[slot, :, :count]
        self.arrays, self.length = moved, length
        self.moves += 1

    def first_slot(self, bucket: Bucket, slots: Sequence[int]) -> int | None:
        """From which slot on the graph can read the cache as it lies, if it can.

        Then its row ``b`` is slot ``first + b``.
        """
        if bucket.length != self.length or bucket.rows > self._slots:
            return None
        first = min(*slots, self._slots - bucket.rows)
        return first if max(slots) - first < bucket.rows else None

    def view(self, bucket: Bucket, first: int) -> list[Floats]:
        """The cache from slot ``first`` on, without a copy."""
        if bucket.rows == self._slots:
            return self.arrays
        return [array[first : first + bucket.rows] for array in self.arrays]

    def gather(self, bucket: Bucket, rows: Sequence[tuple[int, int]]) -> list[Floats]:
        """A copy for a graph whose row ``b`` is ``rows[b]``: a slot and how many tokens of it."""
        if bucket not in self._gathered:
            self._gathered[bucket] = self._empty(bucket.rows, bucket.length)
        gathered = self._gathered[bucket]
        for row, (slot, tokens) in enumerate(rows):
            if tokens:
                for source, copy in zip(self.arrays, gathered, strict=True):
                    copy[row, :, :tokens] = source[slot, :, :tokens]
        return gathered

    def write_token(
        self, slots: Sequence[int], at: Sequence[int], new: Sequence[Floats], rows: Sequence[int]
    ) -> None:
        """Keep one new token of each slot, at these places, from these rows of [B, H, 1, D]."""
        places, ends = np.array(slots, np.intp), np.array(at, np.intp)
        # All of them, in order: without another copy.
        picked = slice(None) if rows == list(range(len(new[0]))) else np.array(rows, np.intp)
        for array, given in zip(self.arrays, new, strict=True):
            array[places, :, ends] = given[picked, :, 0]

    def write(self, slot: int, first: int, new: Sequence[Floats], row: int, count: int) -> None:
        """Keep ``count`` new tokens of one slot, from one row of [B, H, T, D].

        Those for which there is no room are left out: no graph could read them.
        """
        count = min(count, self.length - first)
        if count > 0:
            for array, given in zip(self.arrays, new, strict=True):
                array[slot, :, first : first + count] = given[row, :, :count]

    def read(self, slot: int, first: int, count: int) -> list[Floats]:
        """What it holds of ``count`` tokens of one slot, without a copy: each [H, count, D]."""
        return [array[slot, :, first : first + count] for array in self.arrays]

    def wipe(self, slot: int) -> None:
        """Numbers that are none would reach the slot's next sequence: 0 times NaN is NaN."""
        for array in self.arrays:
            array[slot] = 0
        self._gathered.clear()

    def _empty(self, rows: int, length: int) -> list[Floats]:
        shape = (rows, self._kind.heads, length, self._kind.head_dim)
        arrays = [np.empty(shape, np.float32) for _ in range(2 * self._kind.layers)]
        for array in arrays:
            # The system gives memory page by page when it is written to: now, not step by step.
            array.fill(0)
        return arrays
