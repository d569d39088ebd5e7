"""Memory that this worker shares with the device processes of one agent on the same host."""

from collections.abc import Sequence

from shared.arena import Column, Placed
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
        """Stack columns into the region; raises OSError when there is no memory for them."""
        return self._arena.write(columns, HEADER_BYTES)

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

    def take(self, what: ServableVersion) -> SharedMemory:
        """A region that no batch is in; raises OSError when there is no memory for one."""
        free = self._free.setdefault(what, [])
        return free.pop() if free else SharedMemory()

    def give_back(self, what: ServableVersion, memory: SharedMemory) -> None:
        """The batch in it is over, and nobody writes there any more."""
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
