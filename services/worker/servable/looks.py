"""(pure) What of a watched directory has come to rest.

A version folder counts once two looks in a row found the same in it, and counts as gone once
two looks in a row did not find it: neither a half-copied folder nor one that a network file
system loses sight of for a moment makes a difference.
"""

from collections.abc import Mapping

Fingerprint = tuple[tuple[str, int, int], ...]
"""Name, size and time of change of every file; empty while there is none."""
Found = Mapping[str, Mapping[int, Fingerprint]]
"""What a look finds: the versions of each servable."""

_Versions = dict[tuple[str, int], Fingerprint]


class Looks:
    """Compares each look with the one before. ``first``: what the worker started with."""

    def __init__(self, first: Found) -> None:
        self._previous = _flat(first)
        self._settled = dict(self._previous)

    def see(self, found: Found) -> dict[str, dict[int, Fingerprint]]:
        """What is there, as far as it has come to rest."""
        now = _flat(found)
        if not now:
            # Not a servable left all at once: the directory itself is away.
            now = self._previous
        settled: _Versions = {}
        for key in self._settled.keys() | now.keys():
            mark, before = now.get(key), self._previous.get(key)
            if mark and mark == before:
                settled[key] = mark
            elif key in self._settled and (mark is not None or before is not None):
                settled[key] = self._settled[key]
        self._previous, self._settled = now, settled
        names: dict[str, dict[int, Fingerprint]] = {}
        for (name, version), mark in settled.items():
            names.setdefault(name, {})[version] = mark
        return names


def _flat(found: Found) -> _Versions:
    return {
        (name, version): mark
        for name, versions in found.items()
        for version, mark in versions.items()
    }
