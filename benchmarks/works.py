"""(pure) What every server is asked to do: the same model and the same tensors."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.layout import Layout

Rows = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Work:
    """One kind of request and the model that answers it."""

    key: str
    what: str
    inputs: int
    """Floats of one row of the request."""
    outputs: int
    """Floats of one row of the answer."""
    function: str
    """``double``: y = 2x; ``head``: the first ``outputs`` floats."""
    rows: int = 1
    """Instances of one request."""
    latency_seconds: float = 0.0
    """What one call of the model takes, whatever its batch."""
    staged: bool = False
    """Whether Python adds 1 before the model and takes 1 away after it, as stages of their own."""
    row: tuple[int, ...] = ()
    """Shape of one row; empty: ``inputs`` numbers."""
    model: str = ""
    """Name of the MINDIR model that stands in for ``function``."""
    known_answer: bytes = field(default=b"", repr=False)
    """What the model answers; empty until it was asked."""
    layouts: tuple[str, ...] = ()
    """The loads that it is about, as CONNECTIONSxSTREAMS; empty: those that are asked for."""
    max_batch: int = 0
    """Requests that share a call of the model at most; 0: a server need not batch."""

    @property
    def shape(self) -> tuple[int, ...]:
        return self.row or (self.inputs,)

    @property
    def is_large(self) -> bool:
        """Whether JSON carries it as base64, because lists of numbers would take too long."""
        return self.inputs > 1000

    @property
    def is_about_layouts(self) -> bool:
        """Whether as many requests are in flight in all its loads."""
        return len({Layout.parse(each).in_flight for each in self.layouts}) == 1

    def request(self) -> Rows:
        """The rows that every request carries, none like another."""
        numbers = np.arange(self.rows * self.inputs, dtype=np.float32) % 1000 + 1
        return (numbers / 1000 if self.model else numbers).reshape(self.rows, *self.shape)

    def answer(self) -> Rows:
        """What a right answer holds."""
        if self.model:
            return np.frombuffer(self.known_answer, np.float32).reshape(-1, self.outputs)
        rows = self.request() + self.staged
        answer = rows * 2 if self.function == "double" else rows[:, : self.outputs].copy()
        return answer - self.staged

    def is_answer(self, found: Rows) -> bool:
        """Whether an answer is right: to the last bit, or nearly where batches change last bits."""
        right = self.answer().ravel()
        if not self.model:
            return np.array_equal(found, right)
        return found.size == right.size and np.allclose(found, right, atol=1e-3 * abs(right).max())

    def described(self) -> dict[str, Any]:
        """What servers are told."""
        told = {**asdict(self), "shape": self.shape, "is_large": self.is_large}
        del told["known_answer"]
        return told


WORKS = {
    work.key: work
    for work in (
        Work("a", "y = 2x on 16 floats", 16, 16, "double"),
        Work("b", "600 KB in, 4 KB out", 150_528, 1024, "head"),
        Work(
            "c", "a model of 5 ms per batch of at most 32 requests, y = 2x on 16 floats",
            16, 16, "double", latency_seconds=0.005, max_batch=32,
        ),
        Work(
            "d", "Python adds 1, y = 2x on 16 floats, Python takes 1 away",
            16, 16, "double", staged=True,
        ),
        Work(
            "e1", "LeNet on MindSpore, one 1x32x32 image, batches of at most 8", 1024, 10, "",
            row=(1, 32, 32), model="lenet", max_batch=8,
        ),
        Work(
            "e2", "ResNet-50 on MindSpore, one 3x224x224 image, batches of at most 8",
            150_528, 1000, "", row=(3, 224, 224), model="resnet50", layouts=("1x1", "4x4"),
            max_batch=8,
        ),
        Work("f", "8 instances in one request, y = 2x on 16 floats each", 16, 16, "double", rows=8),
        Work(
            "g", "64 clients, each with a connection or all on one, y = 2x on 16 floats",
            16, 16, "double", layouts=("64x1", "1x64"),
        ),
    )
}  # fmt: skip
