"""(pure) How large the two networks are, their weights, and what they answer, in NumPy."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
LAYERS = 8
"""Of either graph."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the first graph reads once, and what a step reads and writes."""

    words: int = 64
    """Rows of one instance of the first graph's input."""
    width: int = 1024
    """Floats of each row, of the context that it makes of them, and of a step's value."""

    def weights(self) -> list[Array]:
        """Of all layers, those of the first graph first; the same each time."""
        random = np.random.default_rng(0)
        # No more, or a last bit would grow from step to step.
        scale = 1 / np.sqrt(self.width)
        shape = (2 * LAYERS, self.width, self.width)
        return list((random.standard_normal(shape) * scale).astype(np.float32))

    def instance(self) -> tuple[Array, Array]:
        """The words and the value that every pipeline begins with."""
        random = np.random.default_rng(1)
        words = random.standard_normal((self.words, self.width)).astype(np.float32)
        return words, np.zeros(self.width, np.float32)

    def answer(self, steps: int) -> Array:
        """The value after so many steps."""
        weights = self.weights()
        words, value = self.instance()
        for weight in weights[:LAYERS]:
            words = np.tanh(words @ weight.T)
        context = words.mean(0)
        for _ in range(steps):
            value = context + value
            for weight in weights[LAYERS:]:
                value = np.tanh(value @ weight.T)
        return value
