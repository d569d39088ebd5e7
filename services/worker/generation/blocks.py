"""(pure) The blocks of the KV cache: who refers to them, and which hold what others may share.

A block is in one of three places: free (it holds nothing), referenced (sequences use it), or
cached (nobody refers to it, but it holds a full block that a later prompt may begin with).
Blocks that are wanted are taken from the free ones, then from the cached ones that were
longest of no use; never from the referenced ones.
"""

from collections.abc import Iterable, Sequence


class BlockPool:
    """The blocks of one device, by number."""

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, -1, -1))
        self._references = [0] * count
        self._cached: dict[int, None] = {}  # the one that was longest of no use is first
        self._hash_of: dict[int, bytes] = {}
        self._block_of: dict[bytes, int] = {}

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return len(self._references)

    @property
    def available(self) -> int:
        """How many blocks can be handed out: the free and the cached."""
        return len(self._free) + len(self._cached)

    @property
    def cached(self) -> int:
        """How many blocks nobody refers to, but hold what may be shared."""
        return len(self._cached)

    @property
    def referenced(self) -> int:
        """How many blocks sequences use."""
        return len(self._references) - self.available

    def match(self, hashes: Iterable[bytes]) -> list[int]:
        """The blocks that hold the beginning of a text, up to the first that none holds."""
        found = []
        for block_hash in hashes:
            block = self._block_of.get(block_hash)
            if block is None:
                break
            found.append(block)
        return found

    def room_beside(self, shared: Iterable[int]) -> int:
        """How many blocks can be handed out once these, which are shared, are referenced."""
        return self.available - sum(block in self._cached for block in shared)

    def share(self, blocks: Iterable[int]) -> None:
        """Refer once more to blocks that ``match`` found."""
        for block in blocks:
            self._cached.pop(block, None)
            self._references[block] += 1

    def allocate(self, count: int) -> list[int]:
        """So many blocks that nobody refers to; at most as many as are available."""
        taken = [self._free.pop() if self._free else self._evict() for _ in range(count)]
        for block in taken:
            self._references[block] = 1
        return taken

    def publish(self, block: int, block_hash: bytes) -> bool:
        """Let a referenced block be shared, now that it is full; False: another one is already."""
        if block_hash in self._block_of:
            return False
        self._block_of[block_hash] = block
        self._hash_of[block] = block_hash
        return True

    def release(self, blocks: Sequence[int]) -> None:
        """Refer once less to the blocks of a text, given from its beginning on.

        Its end is evicted before its beginning, which more texts have in common.
        """
        for block in reversed(blocks):
            if self._references[block] <= 0:
                raise ValueError(f"block {block} is released, but nobody refers to it")
            self._references[block] -= 1
            if self._references[block]:
                continue
            if block in self._hash_of:
                self._cached[block] = None
            else:
                self._free.append(block)

    def _evict(self) -> int:
        block = next(iter(self._cached))
        del self._cached[block]
        del self._block_of[self._hash_of.pop(block)]
        return block
