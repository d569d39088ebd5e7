"""Keys and values of earlier tokens, as the graphs read them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from examples.llm.buckets import Bucket
from examples.llm.sizes import HEAD, HEADS, LAYERS


class Cache:
    """float32 [B, H, S, D] for the keys and for the values of each layer."""

    def __init__(self, bucket: Bucket) -> None:
        shape = (bucket.rows, HEADS, bucket.cached, HEAD)
        self.arrays = [np.zeros(shape, np.float32) for _ in range(2 * LAYERS)]

    def write(self, positions: NDArray[np.int32], new: Sequence[NDArray[np.float32]]) -> None:
        """Keep what a graph gave for tokens [B, T] at their positions; -1 is no token."""
        rows, columns = np.nonzero(positions >= 0)
        at = positions[rows, columns]
        for kept, given in zip(self.arrays, new, strict=True):
            kept[rows, :, at] = given[rows, :, columns]
