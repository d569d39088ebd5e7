"""Which part of the network a rank holds, where several compute it together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from examples.llm.sizes import HEADS, INNER, SLOPES, WIDTH

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the heads of each layer, and some of the inner width of its feed-forward block.

    What each rank's part adds to a layer's shortcuts is summed over all ranks; the rest of the
    network, and so its logits, all of them compute alike.
    """

    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks or HEADS % self.ranks:
            raise ValueError(f"{HEADS} heads cannot be cut so: {self}")

    @property
    def heads(self) -> int:
        return HEADS // self.ranks

    @property
    def width(self) -> int:
        """Of its heads together."""
        return WIDTH // self.ranks

    @property
    def inner(self) -> int:
        return INNER // self.ranks

    @property
    def slopes(self) -> Floats:
        """Of its heads; see ``sizes.SLOPES``."""
        return SLOPES[self._own(self.heads)]

    def cut(self, name: str, array: Floats) -> Floats:
        """This part's elements of a weight, by its name in the files."""
        own = self._own(self.width)
        if name.endswith(".qkv.weight"):
            return array.reshape(3, WIDTH, WIDTH)[:, own].reshape(-1, WIDTH)
        if name.endswith(".adapters.outwards"):
            stack, low = array.shape[:2]
            return array.reshape(stack, low, 3, WIDTH)[..., own].reshape(stack, low, -1)
        if name.endswith(".out.weight"):
            return array[:, own]
        if name.endswith(".up.weight"):
            return array[self._own(self.inner)]
        if name.endswith(".down.weight"):
            return array[:, self._own(self.inner)]
        return array

    def _own(self, count: int) -> slice:
        return slice(self.rank * count, (self.rank + 1) * count)


WHOLE = Part()
