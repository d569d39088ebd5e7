"""One batch on its way through the agent."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.arena import Placed
from shared.servable import ServableVersion
from shared.tensors import Array


@dataclass(frozen=True, slots=True)
class Region:
    """Memory of the worker: a descriptor of its process, which begins with the nonce."""

    pid: int
    fd: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class SharedInputs:
    """Inputs that lie in the worker's memory, and from where on outputs may."""

    region: Region
    placed: Sequence[Placed]
    output_offset: int


@dataclass(frozen=True, slots=True)
class Work:
    """A batch for one model; inputs are arrays, or lie in memory of the worker."""

    what: ServableVersion
    model: str
    subgraph: int
    rows: int
    inputs: Sequence[Array] | SharedInputs

    def __str__(self) -> str:
        return f"{self.what}, model '{self.model}', {self.rows} rows"


@dataclass(frozen=True, slots=True)
class Done:
    """Outputs, where inputs were, and the seconds that the backend took."""

    outputs: Sequence[Array] | Sequence[Placed]
    device_seconds: float
