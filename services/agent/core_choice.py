"""(pure) Which cores have room: what others used of each, between two looks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

# So much more of a core's time must be free elsewhere before a process moves.
_WORTH = 0.2


class Look(NamedTuple):
    """What was used until a moment, in seconds."""

    at: float
    used: Mapping[int, float]
    """Of each core, by whatever has a normal priority: others make room by themselves."""
    own: float
    """By this process."""


def used_by_others(before: Look, after: Look, on: Sequence[int]) -> dict[int, float]:
    """The share of each core's time that others used, when this process was on the cores ``on``."""
    elapsed = max(after.at - before.at, 1e-3)
    own = (after.own - before.own) / len(on)
    return {
        core: max(0.0, used - before.used.get(core, used) - (own if core in on else 0.0)) / elapsed
        for core, used in after.used.items()
    }


def better(cores: Sequence[int], on: Sequence[int], shares: Mapping[int, float]) -> Sequence[int]:
    """As many neighbouring cores as ``on`` that others use clearly less, or ``on``."""

    def used(some: Sequence[int]) -> float:
        return sum(shares.get(core, 0.0) for core in some) / len(some)

    found = min((neighbours(cores, first, len(on)) for first in cores), key=used)
    return found if used(found) < used(on) - _WORTH else on


def neighbours(cores: Sequence[int], first: int, count: int) -> list[int]:
    """``count`` of these cores, from ``first`` on, and around from the last to the first."""
    start = cores.index(first) if first in cores else 0
    return [cores[(start + n) % len(cores)] for n in range(count)]
