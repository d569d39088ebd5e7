"""(pure) Which of a servable's versions a worker serves by itself: the newest, or named ones."""

import sys
from collections.abc import Collection
from dataclasses import dataclass

_EXPECTED = "expected latest:N with N from 1 on, or all"


@dataclass(frozen=True, slots=True)
class VersionPolicy:
    """The newest ``latest`` versions there are, and those that were named."""

    latest: int = 0
    specific: frozenset[int] = frozenset()

    @classmethod
    def parse(cls, text: str) -> "VersionPolicy":
        """``latest:N`` or ``all``; raises ValueError that says what came."""
        if text == "all":
            return cls(sys.maxsize)
        kind, _, count = text.partition(":")
        if kind != "latest" or not (count.isascii() and count.isdecimal() and int(count) > 0):
            raise ValueError(f"{_EXPECTED}, got '{text}'")
        return cls(int(count))

    def __or__(self, other: "VersionPolicy") -> "VersionPolicy":
        return VersionPolicy(max(self.latest, other.latest), self.specific | other.specific)

    def choose(self, existing: Collection[int]) -> frozenset[int]:
        """What is to be served of the versions there are."""
        newest = sorted(existing)[max(0, len(existing) - self.latest) :] if self.latest else ()
        return frozenset(newest) | (self.specific & frozenset(existing))
