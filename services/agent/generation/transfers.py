"""Hands cache of slots to the worker, and takes in what another agent computed."""

from collections.abc import Callable
from typing import cast

import numpy as np

from services.agent.generation.cache import Floats, Used, WorkingCache
from services.agent.generation.sequences import Sequence
from services.agent.generation.steps import Export, Import
from shared.arena import Placed
from shared.errors import InvalidRequest, MemoryNotShared
from shared.regions import HEADER_BYTES, Region, Regions

# Those in use, and a few that are about to be.
_MOST_REGIONS = 32


class Transfers:
    """What goes in and out of one cache; ``taken`` finds the sequence of a slot, or raises."""

    def __init__(
        self, cache: WorkingCache, taken: Callable[[int, str], Sequence], used: Used
    ) -> None:
        self._cache = cache
        self._taken = taken
        self._used = used
        self._regions = Regions(_MOST_REGIONS)

    def give(self, export: Export, where: str) -> bytes:
        """The bytes of what a slot holds; none when they lie in the worker's memory.

        Zeros for a sequence that failed, perhaps in this step: nobody goes on with it.
        Raises InvalidRequest for what is not in the cache, MemoryNotShared.
        """
        slot, first, count, region = export
        sequence = self._taken(slot, where)
        if sequence.failure:
            size = count * sum(each.nbytes for each in self._cache.read(slot, 0, 1))
            return bytes(size) if region is None else b""
        computed = min(sequence.computed, self._cache.longest)
        if not 0 < count <= computed - first:
            raise InvalidRequest(
                f"{where}: expected some of the {computed} tokens in the cache of slot {slot}, got"
                f" {count} from position {first} on"
            )
        held = self._cache.read(slot, first, count)
        if region is None:
            return np.stack(held).tobytes()
        try:
            self._regions.open(region).write([list(held)], HEADER_BYTES)
        except OSError as failure:
            raise MemoryNotShared(f"{where}: no memory: {failure.strerror}") from failure
        return b""

    def take(self, given: Import, where: str) -> None:
        """Keep what another agent computed of a slot's sequence, behind what is there.

        Raises InvalidRequest for what does not follow or has another size, MemoryNotShared.
        """
        slot, first, count, content = given
        sequence = self._taken(slot, where)
        where = f"{where}, slot {slot}"
        if first != sequence.computed:
            raise InvalidRequest(
                f"{where}: expected cache from position {sequence.computed} on, got {first}"
            )
        end = first + count
        most = min(len(sequence.tokens) - 1, self._cache.longest)
        if count < 1 or end > most:
            raise InvalidRequest(
                f"{where}: expected cache of 1 to {most - first} tokens, got {count}"
            )
        self._cache.reserve(end, self._used)
        held = self._read(content, count, where)
        self._cache.write(slot, first, [each[None] for each in held], 0, count)
        sequence.computed = end

    def _read(self, content: bytes | Region, count: int, where: str) -> Floats:
        of_slot = self._cache.read(0, 0, count)
        shape = (len(of_slot), *of_slot[0].shape)
        try:
            if isinstance(content, bytes):
                return np.frombuffer(content, np.float32).reshape(shape)
            (held,) = self._regions.open(content).read([Placed(HEADER_BYTES, "float32", shape)])
        except ValueError as failure:
            raise InvalidRequest(f"{where}: cache of another size: {failure}") from None
        return cast("Floats", held)
