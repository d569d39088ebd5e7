"""(pure) Which versions of one servable are meant to be served, and what that changes.

Orders by hand do what they say and nothing else; the policy speaks when the worker starts,
when it is asked for (``load`` without a version), and when the watched folders change.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.worker.servable.policy import VersionPolicy

_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Intent:
    """What is wanted of one servable, and what was ordered by hand."""

    policy: VersionPolicy
    wanted: frozenset[int] = _NONE
    pinned: frozenset[int] = _NONE
    """Loaded by hand: wanted whatever the policy says."""
    dropped: frozenset[int] = _NONE
    """Unloaded by hand: not wanted until they are loaded by hand."""
    off: bool = False
    """Unloaded by hand as a whole: the folders are not looked at."""

    def load(self, version: int) -> "Intent":
        """One version, beside the others."""
        return replace(
            self,
            wanted=self.wanted | {version},
            pinned=self.pinned | {version},
            dropped=self.dropped - {version},
            off=False,
        )

    def load_chosen(self, existing: Collection[int]) -> "Intent":
        """What the policy chooses; orders by hand are forgotten."""
        return Intent(self.policy, self.policy.choose(existing))

    def unload(self, version: int) -> "Intent":
        """All but one version."""
        return replace(
            self,
            wanted=self.wanted - {version},
            pinned=self.pinned - {version},
            dropped=self.dropped | {version},
        )

    def unload_all(self) -> "Intent":
        """Nothing, until something is loaded by hand."""
        return Intent(self.policy, off=True)

    def failed(self, version: int, present: Collection[int]) -> "Intent":
        """A version cannot be loaded: what is served, or on its way, goes on."""
        return replace(
            self,
            wanted=(self.wanted | (frozenset(present) - self.dropped)) - {version},
            pinned=self.pinned - {version},
        )

    def found(self, existing: Collection[int], failed: Collection[int]) -> "Intent":
        """The folders changed: the policy's choice of those that can be loaded, and the pinned."""
        if self.off:
            return self
        there = frozenset(existing)
        chosen = self.policy.choose(there - self.dropped - frozenset(failed))
        pinned = self.pinned & there
        return replace(self, wanted=chosen | pinned, pinned=pinned, dropped=self.dropped & there)


class Changes(NamedTuple):
    """What has to happen now for an intent."""

    load: frozenset[int]
    abandon: frozenset[int]
    """Of what is being loaded."""
    retire: frozenset[int]
    """Of what is served."""


def changes(
    intent: Intent, *, loading: Collection[int], ready: Collection[int], serving: Collection[int]
) -> Changes:
    """From what is being loaded, and what is served (of it: what is ready), to what is wanted.

    A version that was superseded goes when everything wanted is ready, one that was unloaded by
    hand at once.
    """
    present = frozenset(loading) | frozenset(serving)
    going = present - intent.wanted
    if not intent.wanted <= frozenset(ready):
        going &= intent.dropped
    return Changes(
        load=intent.wanted - present,
        abandon=going & frozenset(loading),
        retire=going - frozenset(loading),
    )
