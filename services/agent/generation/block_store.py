"""(pure) Full blocks of the KV cache that later prompts may begin with."""

import numpy as np

from services.agent.generation.cache import Floats, WorkingCache
from services.agent.generation.graphs import Kind


class BlockStore:
    """float32 [blocks, H, block_size, D] for keys and values of each layer in turn."""

    def __init__(self, kind: Kind, blocks: int, block_size: int) -> None:
        shape = (blocks, kind.heads, block_size, kind.head_dim)
        # Memory that is zero is taken when it is written to.
        self._arrays: list[Floats] = [np.zeros(shape, np.float32) for _ in range(2 * kind.layers)]
        self._filled = np.zeros(blocks, np.bool_)
        self.blocks = blocks
        self.block_size = block_size

    def clear(self) -> None:
        """No block holds anything."""
        self._filled[:] = False

    def holds(self, block: int) -> bool:
        """Whether there is such a block, and something in it."""
        return block < self.blocks and bool(self._filled[block])

    def store(self, block: int, cache: WorkingCache, slot: int, index: int) -> None:
        """Copy the slot's block ``index`` to ``block``; all of its tokens are in the cache."""
        first = index * self.block_size
        for kept, array in zip(self._arrays, cache.arrays, strict=True):
            kept[block] = array[slot, :, first : first + self.block_size]
        self._filled[block] = True

    def load(self, blocks: list[int], cache: WorkingCache, slot: int) -> None:
        """Copy blocks to the beginning of a slot of the cache, which has room for them."""
        tokens = len(blocks) * self.block_size
        for kept, array in zip(self._arrays, cache.arrays, strict=True):
            heads, size, head_dim = kept.shape[1:]
            loaded = array[slot, :, :tokens].reshape(heads, len(blocks), size, head_dim)
            loaded.swapaxes(0, 1)[:] = kept[blocks]
