"""Memory that this worker shares with the device processes of one agent on the same host."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared.arena import Column, Placed
from shared.errors import MemoryNotShared
from shared.regions import HEADER_BYTES, OwnRegion, Region
from shared.servable import ServableVersion
from shared.tensors import Array

# Below this, bytes inside the message cost less than their place in shared memory.
SHARED_FROM_BYTES = 64 << 10


def size_of(columns: Sequence[Column]) -> int:
    """Bytes of columns, stacked."""
    return sum(
        len(each) * each[0].nbytes if isinstance(each, list) else each.nbytes for each in columns
    )


class SharedMemory:
    """One region, for one batch at a time."""

    def __init__(self) -> None:
        self._region = OwnRegion()
        self._arena = self._region.arena

    @property
    def told(self) -> Region:
        """What a message says of it."""
        return self._region.told

    def write(self, columns: Sequence[Column]) -> tuple[list[Placed], int]:
        """Stack columns into the region; raises MemoryNotShared when it cannot grow so far."""
        try:
            return self._arena.write(columns, HEADER_BYTES)
        except OSError as failure:
            raise _none_left(failure) from failure

    def read(self, placed: Sequence[Placed]) -> list[Array]:
        """Copies of arrays, because the next batch overwrites them."""
        return [array.copy() for array in self._arena.read(placed)]

    def close(self) -> None:
        """Let go of it."""
        self._region.close()


class Memories:
    """Regions for the batches of each servable version, used again and again."""

    def __init__(self) -> None:
        self._free: dict[ServableVersion, list[SharedMemory]] = {}

    @contextmanager
    def lent(self, what: ServableVersion) -> Iterator[SharedMemory]:
        """A region for one batch; raises MemoryNotShared when there is no memory for one.

        Another batch gets it when this one ends well; otherwise it may still be written to.
        """
        memory = self._take(what)
        try:
            yield memory
        except BaseException:
            memory.close()
            raise
        self._give_back(what, memory)

    def _take(self, what: ServableVersion) -> SharedMemory:
        free = self._free.setdefault(what, [])
        try:
            return free.pop() if free else SharedMemory()
        except OSError as failure:
            raise _none_left(failure) from failure

    def _give_back(self, what: ServableVersion, memory: SharedMemory) -> None:
        free = self._free.get(what)
        if free is None:
            memory.close()
        else:
            free.append(memory)

    def forget(self, what: ServableVersion) -> None:
        """Close the regions of a version; those in use when they come back."""
        for memory in self._free.pop(what, []):
            memory.close()

    def close(self) -> None:
        """Close every region."""
        for what in list(self._free):
            self.forget(what)


def _none_left(failure: OSError) -> MemoryNotShared:
    return MemoryNotShared(f"no shared memory to be had: {failure.strerror}")
