"""What operators are told of servable versions: which there are, and how far each is."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from shared.servable import ServableVersion


class VersionState(StrEnum):
    """Where a version stands."""

    UNLOADED = "unloaded"
    """It is in the repository; nobody asked for it."""
    LOADING = "loading"
    READY = "ready"
    RETIRING = "retiring"
    """Offered no more; gone when its requests are answered."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """One version at one worker."""

    what: ServableVersion
    state: VersionState
    detail: str = ""
    """Progress of a load, or the reason why it failed."""
    worker: str = ""
    """The worker's address; empty when the worker itself tells."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an operator wants loaded or unloaded; version 0: what the policy chooses, or all."""

    servable: str
    version: int = 0

    def __str__(self) -> str:
        return f"servable '{self.servable}'" + (f" version {self.version}" if self.version else "")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is known of a repository, or of those of several workers."""

    versions: Sequence[VersionStatus]
    silent: Sequence[str] = ()
    """Addresses of workers that did not answer in time."""
