"""(pure) What every server is asked to do: the same model and the same tensors."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

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
    layouts: tuple[str, ...] = ()
    """The loads that it is about, as CONNECTIONSxSTREAMS; empty: those that are asked for."""
    max_batch: int = 0
    """Requests that share a call of the model at most; 0: a server need not batch."""

    def request(self) -> Rows:
        """The rows that every request carries, none like another."""
        count = self.rows * self.inputs
        return (np.arange(count, dtype=np.float32) % 1000 + 1).reshape(self.rows, self.inputs)

    def answer(self) -> Rows:
        """What a right answer holds."""
        rows = self.request() + self.staged
        answer = rows * 2 if self.function == "double" else rows[:, : self.outputs].copy()
        return answer - self.staged

    def described(self) -> dict[str, Any]:
        return asdict(self)


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
        Work("f", "8 instances in one request, y = 2x on 16 floats each", 16, 16, "double", rows=8),
        Work(
            "g", "64 clients, each with a connection or all on one, y = 2x on 16 floats",
            16, 16, "double", layouts=("64x1", "1x64"),
        ),
    )
}  # fmt: skip
