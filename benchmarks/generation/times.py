"""(pure) What is measured, each as a row of the result."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import Spread

OURS = "mindserve"


@dataclass(frozen=True, slots=True)
class BareTime:
    """The graphs in a loop, without a server."""

    rows: int
    round: int
    step_ms: float
    """Of a decode step."""
    tokens_per_second: float
    """Of whole texts, their prompts included."""


@dataclass(frozen=True, slots=True)
class ServedTime:
    """A server under one load in one round."""

    server: str
    load: str
    """``alone``, ``equal`` (as many tokens of each text) or ``varied``."""
    in_flight: int
    round: int
    requests: int
    errors: int
    others: int
    """Texts that differ from the bare loop's."""
    tokens_per_second: float
    first_ms: float
    """Time to first token, median."""
    first_p99_ms: float
    token_ms: float
    """For each token after the first, the mean of a text; median of all texts."""
    gap_p99_ms: float
    """Between two pieces of a text, 99 of a hundred."""
    took_ms: float
    """Of a whole text, median."""
    cpu_ms: float
    """CPU time of all processes of the server for a token."""
    generator_cores: float
    others_cores: float
    """Cores that neither the server nor the load generator kept busy meanwhile."""
    error: str = ""
    """What most of the errors were."""


@dataclass(frozen=True, slots=True)
class LevelTime:
    """One level of the stack, the rest of it simulated, in one round."""

    level: str
    rows: int
    round: int
    step_us: float
    """Of a step: one token for each row."""


def served_as(times: Iterable[ServedTime], server: str, load: str) -> list[ServedTime]:
    """The rounds of one server under one load."""
    return [each for each in times if (each.server, each.load) == (server, load)]


def bare_of(times: Iterable[BareTime], rows: int) -> list[BareTime]:
    """The rounds of one bare loop."""
    return [each for each in times if each.rows == rows]


def by_round(
    first: Iterable[ServedTime | BareTime], second: Iterable[ServedTime | BareTime]
) -> Iterator[tuple[Any, Any]]:
    """Two figures of the same rounds."""
    others = {each.round: each for each in second}
    for each in first:
        if each.round in others:
            yield each, others[each.round]


def overhead(served: list[ServedTime], bare: list[BareTime]) -> Spread | None:
    """Milliseconds for a token beyond a bare loop's step, round by round."""
    found = [one.token_ms - loop.step_ms for one, loop in by_round(served, bare)]
    return Spread.of(found) if found else None


def ratio(
    first: list[ServedTime] | list[BareTime], second: list[ServedTime] | list[BareTime]
) -> Spread | None:
    """Tokens per second of the one over those of the other, round by round."""
    found = [
        one.tokens_per_second / other.tokens_per_second
        for one, other in by_round(first, second)
        if other.tokens_per_second
    ]
    return Spread.of(found) if found else None
