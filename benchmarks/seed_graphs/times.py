"""(pure) What is measured of graphs and pipelines, and what two graphs could gain at most."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WAYS = ("apart", "merged")
GRAPHS = ("first", "step", "merged")


@dataclass(frozen=True, slots=True)
class OwnTime:
    """One graph called again and again by a process that does nothing else."""

    graph: str
    rows: int
    round: int
    ms: float
    """Of one call."""


@dataclass(frozen=True, slots=True)
class RunTime:
    """One request for so many pipelines at once, by way of client, master, worker and agent."""

    way: str
    """``apart``: the first graph once, then the other; ``merged``: one graph at every step."""
    rows: int
    """Pipelines of the request."""
    steps: int
    round: int
    ms: float
    others_cores: float
    """Cores that neither the server nor the client kept busy meanwhile."""


def ideal_ratio(first_ms: float, step_ms: float, steps: int) -> float:
    """How many times faster two graphs are where nothing but the graphs takes time."""
    return steps * (first_ms + step_ms) / (first_ms + steps * step_ms)


def ideal_ratios(own: Sequence[OwnTime], rows: int, steps: int) -> list[float]:
    """Round by round."""
    return [
        ideal_ratio(
            own_ms(own, "first", rows, number), own_ms(own, "step", rows, number), steps
        )
        for number in rounds_of(own)
    ]  # fmt: skip


def ratios(runs: Sequence[RunTime], rows: int, steps: int) -> list[float]:
    """How many times faster two graphs were, round by round."""
    found = []
    for number in rounds_of(runs):
        of_way = [
            [
                each.ms
                for each in runs
                if (each.way, each.rows, each.steps, each.round) == (way, rows, steps, number)
            ]
            for way in WAYS
        ]
        if all(of_way):
            apart, merged = map(statistics.median, of_way)
            found.append(merged / apart)
    return found


def own_ms(own: Sequence[OwnTime], graph: str, rows: int, number: int) -> float:
    """A graph's own time in one round."""
    return statistics.median(
        each.ms for each in own if (each.graph, each.rows, each.round) == (graph, rows, number)
    )


def rounds_of(found: Sequence[OwnTime] | Sequence[RunTime]) -> list[int]:
    """The rounds that were measured."""
    return sorted({each.round for each in found})
