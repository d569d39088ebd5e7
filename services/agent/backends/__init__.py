"""What a device process runs models with; found by entry points."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import ClassVar, Protocol

from shared.decryption import DecryptionKey
from shared.errors import LoadFailed
from shared.membership import Device, GangPart, ModelFiles, ModelSignature
from shared.tensors import Array

ENTRY_POINTS = "mindserve.backends"


class LoadedModel(Protocol):
    """A model that can be executed."""

    @property
    def signature(self) -> ModelSignature:
        """What it takes and gives."""

    def warm_up(self) -> None:
        """Run once on inputs of its own, so that no client pays for compilation."""

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        """Run once; inputs fit the signature. Whatever it raises, the next call works."""


class Backend(Protocol):
    """Loads models of some formats onto one device; all its calls come from one thread.

    With a ``part`` it is a rank of a distributed model, its files those of that rank.
    """

    formats: ClassVar[tuple[str, ...]]

    def __init__(self, device: Device, part: GangPart | None = None) -> None: ...

    def join(self) -> None:
        """Wait for the other ranks of the group; raises LoadFailed.

        Called before the first load, on the thread that executes, and only when the part's
        group is of several ranks. What they need to meet is in the environment.
        """

    def load(self, files: ModelFiles, key: DecryptionKey | None) -> LoadedModel:
        """Load, on a thread of its own; raises LoadFailed naming the model file.

        With a key the files must be encrypted, and without one they must not. The key is
        wiped afterwards.
        """

    def without_effect(self, files: ModelFiles) -> tuple[str, ...]:
        """Options that do not act on a model just loaded, as ``ModelOptions.named`` has them."""


def backend_for(model_format: str, device: Device, part: GangPart | None) -> Backend:
    """The installed backend that reads ``model_format``; raises LoadFailed."""
    for entry in entry_points(group=ENTRY_POINTS):
        backend: type[Backend] = entry.load()
        if model_format in backend.formats:
            return backend(device, part)
    raise LoadFailed(f"no backend here reads model format '{model_format}'")
