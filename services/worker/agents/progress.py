"""(pure) How far the agents are with a version that is being loaded beside others."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.membership import Holding
from shared.repository import VersionState


class Standing(NamedTuple):
    """One agent: how far it is, and whether it serves another version of the servable now."""

    holding: Holding | None
    serves_another: bool
    decodes: bool = True
    """Whether it continues texts, not only computes prompts."""


class Progress(NamedTuple):
    """``LOADING``, ``READY`` or ``FAILED``, and what is to be said of it."""

    state: VersionState
    detail: str


def has_decoder(agents: Sequence[Standing]) -> bool:
    """Whether one of those that hold it continues texts."""
    return any(
        each.decodes and each.holding is not None and each.holding.state == "ready"
        for each in agents
    )


def progress_of(agents: Sequence[Standing], min_agents: int, *, decodes: bool = False) -> Progress:
    """Ready when enough agents hold it, and all those that serve another version now.

    So a switch never leaves fewer agents at work than before. It has failed when that
    can no longer come true without another try. Where texts are continued, ``decodes``, not
    all of them may be for prompts alone.
    """
    states = [each.holding.state if each.holding is not None else "" for each in agents]
    failures = [
        each for each in agents if each.holding is not None and each.holding.state == "failed"
    ]
    needed = [each for each in failures if each.serves_another]
    if needed or (failures and len(agents) - len(failures) < min_agents):
        failure = (needed or failures)[0].holding
        assert failure is not None
        return Progress(VersionState.FAILED, failure.detail)
    missing = any(
        each.serves_another and state != "ready" for each, state in zip(agents, states, strict=True)
    )
    if states.count("ready") >= min_agents and decodes and not has_decoder(agents):
        text = "those that hold it compute prompts alone, none continues texts"
        return Progress(VersionState.LOADING, f"{_told(agents, states, min_agents)}, {text}")
    if states.count("ready") >= min_agents and not missing:
        return Progress(VersionState.READY, "")
    return Progress(VersionState.LOADING, _told(agents, states, min_agents))


def _told(agents: Sequence[Standing], states: Sequence[str], min_agents: int) -> str:
    wanted = max(min_agents, sum(each.serves_another for each in agents))
    text = f"{states.count('ready')} of {wanted} agents hold it"
    details = {each.holding.detail for each in agents if each.holding is not None}
    return ", ".join([text, *sorted(details - {""})])
