"""(pure) Which of several engines a prompt goes to."""

from collections.abc import Sequence
from typing import NamedTuple


class Standing(NamedTuple):
    """One engine, before it gets a prompt."""

    load: int
    """Texts that it has."""
    known_tokens: int
    """How many tokens of the prompt's beginning are in its cache."""


def choose(standings: Sequence[Standing], slots: int) -> int:
    """The one that knows the most of the prompt, unless its load is more by a batch than others'.

    Of equals the least loaded one, then the first.
    """
    least = min(each.load for each in standings)
    return min(
        (place for place, each in enumerate(standings) if each.load <= least + slots),
        key=lambda place: (-standings[place].known_tokens, standings[place].load, place),
    )
