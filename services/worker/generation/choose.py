"""(pure) Which of several engines a prompt goes to."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.membership import GenerationRole


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


def choose_roomy(standings: Sequence[Standing | None], slots: int) -> int | None:
    """As ``choose``, where some have no room; None: nobody has."""
    places = [place for place, each in enumerate(standings) if each is not None]
    roomy = [each for each in standings if each is not None]
    return places[choose(roomy, slots)] if roomy else None


def for_prompts(roles: Sequence[GenerationRole]) -> list[int]:
    """Those that compute prompts; where nobody is for that, those that decode do it, too."""
    meant = [place for place, role in enumerate(roles) if role is not GenerationRole.DECODE]
    return meant or list(range(len(roles)))


def for_decoding(roles: Sequence[GenerationRole]) -> list[int]:
    """Those that continue texts."""
    return [place for place, role in enumerate(roles) if role.decodes]
