"""What a device process runs models with; found by entry points."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import ClassVar, Protocol

from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles, ModelSignature
from shared.tensors import Array

ENTRY_POINTS = "mindserve.backends"
DEFAULT_MAX_BATCH_SIZE = 32


class LoadedModel(Protocol):
    """A model that can be executed."""

    @property
    def signature(self) -> ModelSignature:
        """What it takes and gives."""

    def warm_up(self) -> None:
        """Run once on inputs of its own, so that no client pays for compilation."""

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        """Run once; inputs fit the signature."""


class Backend(Protocol):
    """Loads models of some formats onto one device."""

    formats: ClassVar[tuple[str, ...]]

    def __init__(self, device: Device) -> None: ...

    def load(self, files: ModelFiles) -> LoadedModel:
        """Load, on a thread of its own; raises LoadFailed naming the model file."""


def backend_for(model_format: str, device: Device) -> Backend:
    """The installed backend that reads ``model_format``; raises LoadFailed."""
    for entry in entry_points(group=ENTRY_POINTS):
        backend: type[Backend] = entry.load()
        if model_format in backend.formats:
            return backend(device)
    raise LoadFailed(f"no backend here reads model format '{model_format}'")


def batch_size_of(files: ModelFiles, dims: Sequence[int]) -> int:
    """Rows of one call: the static batch dim, or the most that a dynamic one is given."""
    if not files.with_batch_dim:
        return 1
    if dims and dims[0] > 0:
        return dims[0]
    return files.max_batch_size or DEFAULT_MAX_BATCH_SIZE
