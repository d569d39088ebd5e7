"""The rank of a distributed model that an agent runs, with its own files."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from shared.errors import LoadFailed
from shared.membership import Assigned


@dataclass(frozen=True, slots=True)
class Rank:
    """What this agent offers to its worker's gangs."""

    number: int
    model_files: tuple[Path, ...]
    """The rank's subgraphs, in order."""
    group_config_files: tuple[Path, ...] = ()

    def check_files(self) -> None:
        """Raises LoadFailed, in the original's words, naming a file that cannot be read."""
        _check("model", self.model_files)
        _check("group config", self.group_config_files)

    def with_files(self, assigned: Assigned) -> Assigned:
        """The same part of a gang, its models with the files of this rank."""
        # Device processes work in folders of their own.
        paths = tuple(str(file.absolute()) for file in self.model_files)
        return replace(
            assigned, models=tuple(replace(files, paths=paths) for files in assigned.models)
        )


def _check(kind: str, files: Iterable[Path]) -> None:
    for file in files:
        if file.is_dir() or not os.access(file, os.R_OK):
            raise LoadFailed(f"Cannot access {kind} file '{file}'")
