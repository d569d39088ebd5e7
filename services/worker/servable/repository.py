"""Looks for servables and their newer versions, and brings them into service."""

from collections.abc import Collection, Sequence
from pathlib import Path

import structlog

from services.worker.servable.loader import Loaded, find_servables, load, version_folders
from services.worker.servable.wanted import Wanted
from shared.errors import LoadFailed
from shared.servable import ServableVersion
from shared.versions import existing_versions

log = structlog.get_logger()


class Repository:
    """A servable directory and what of it is wanted: named servables, or everything found."""

    def __init__(self, directory: Path, named: Sequence[Wanted], *, max_batch_size: int) -> None:
        self._directory = directory
        self._named = tuple(named)
        self._max_batch_size = max_batch_size
        self._reported: dict[str, str] = {}

    def load_new(self, known: Collection[ServableVersion] = ()) -> list[Loaded]:
        """What is wanted and not known yet, each at its newest version unless one was named.

        A named servable that cannot be loaded raises LoadFailed; one that was only
        found is left out, and the log says why, once. Reads files and runs the
        servables' own code: call it in a thread.
        """
        loaded = []
        for wanted in self._named or tuple(map(Wanted, self._found())):
            try:
                if not self._is_known(wanted, known):
                    loaded.append(
                        load(self._directory, wanted, max_batch_size=self._max_batch_size)
                    )
            except LoadFailed as failure:
                if self._named:
                    raise
                self._report(wanted.name, failure.message)
        return loaded

    def _is_known(self, wanted: Wanted, known: Collection[ServableVersion]) -> bool:
        served = {each.version for each in known if each.servable == wanted.name}
        newest = max(existing_versions(version_folders(self._directory, wanted.name)), default=1)
        return (wanted.version or newest) in served

    def _found(self) -> list[str]:
        try:
            return find_servables(self._directory)
        except LoadFailed as failure:
            self._report("", failure.message)
            return []

    def _report(self, name: str, reason: str) -> None:
        if self._reported.get(name) != reason:
            self._reported[name] = reason
            log.error("not loaded", servable=name, reason=reason)
