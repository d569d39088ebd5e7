"""The servable directory as a worker sees it: what of it is wanted, and what lies there now."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import structlog

from services.worker.servable.loader import (
    CONFIG_FILE,
    Loaded,
    find_servables,
    load,
    version_folders,
)
from services.worker.servable.looks import Fingerprint, Found
from services.worker.servable.policy import VersionPolicy
from services.worker.servable.wanted import Wanted
from shared.errors import LoadFailed
from shared.servable import ServableVersion
from shared.versions import existing_versions

log = structlog.get_logger()

# What a servable without version folders is served as.
_ONLY_VERSION = 1


class First(NamedTuple):
    """What was found when a worker started, what it starts with, and what it could not load."""

    found: Found
    loaded: Sequence[Loaded]
    failures: Mapping[ServableVersion, LoadFailed]


class Repository:
    """A servable directory, or those servables of it that were named.

    Everything here reads files, and ``load`` runs the servables' own code: call it in a thread.
    """

    def __init__(
        self,
        directory: Path,
        named: Sequence[Wanted],
        policy: VersionPolicy,
        *,
        max_batch_size: int,
    ) -> None:
        self._directory = directory
        self._policy = policy
        self._max_batch_size = max_batch_size
        self._named: dict[str, VersionPolicy] = {}
        for wanted in named:
            own = VersionPolicy(specific=frozenset({wanted.version})) if wanted.version else policy
            self._named[wanted.name] = self._named.get(wanted.name, VersionPolicy()) | own

    def policy_of(self, name: str) -> VersionPolicy:
        """Which versions of a servable are served without an order."""
        return self._named.get(name, self._policy)

    def look(self) -> Found:
        """Which versions of which servables there are; LoadFailed when there is no directory."""
        there = find_servables(self._directory)
        names = [name for name in there if not self._named or name in self._named]
        return {name: self._versions(name) for name in names}

    def _versions(self, name: str) -> Mapping[int, Fingerprint]:
        config = _files(self._directory / name / CONFIG_FILE)
        versions = existing_versions(version_folders(self._directory, name))
        if not versions:
            return {_ONLY_VERSION: config}
        folders = {version: self._directory / name / str(version) for version in versions}
        marks = {version: _files(folder) for version, folder in folders.items()}
        return {version: mark and config + mark for version, mark in marks.items()}

    def load_first(self) -> First:
        """What a worker starts with.

        A named servable that cannot be loaded raises LoadFailed; one that was only found is left
        out, and the log says why.
        """
        found: Found = {}
        try:
            found = self.look()
        except LoadFailed as failure:
            if self._named:
                raise
            log.error("nothing found", reason=failure.message)
        loaded: list[Loaded] = []
        failures: dict[ServableVersion, LoadFailed] = {}
        for name in self._named or found:
            policy = self.policy_of(name)
            existing = found.get(name, {_ONLY_VERSION: ()})
            for version in sorted(policy.choose(existing) | policy.specific):
                what = ServableVersion(name, version)
                try:
                    loaded.append(self.load(what))
                except LoadFailed as failure:
                    if self._named:
                        raise
                    failures[what] = failure
                    log.error("not loaded", what=str(what), reason=failure.message)
        return First(found, loaded, failures)

    def load(self, what: ServableVersion) -> Loaded:
        """Import a servable at one version; raises LoadFailed naming the cause."""
        has_folders = bool(existing_versions(version_folders(self._directory, what.servable)))
        # Version 1 that has no folder: whether it needs one, its configuration says.
        asked = what.version if has_folders or what.version != _ONLY_VERSION else 0
        wanted = Wanted(what.servable, asked)
        return load(self._directory, wanted, max_batch_size=self._max_batch_size)


def _files(place: Path) -> Fingerprint:
    """What tells whether anything in a folder, or a file, has changed."""
    if place.is_file():
        files = [place]
    else:
        files = [Path(folder, name) for folder, _, names in os.walk(place) for name in names]
    marks = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue  # gone since it was listed: the next look tells
        marks.append((str(file.relative_to(place.parent)), status.st_size, status.st_mtime_ns))
    return tuple(sorted(marks))
