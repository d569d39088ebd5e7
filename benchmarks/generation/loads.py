"""The loads that every server gets, and what each comes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.generation.load.child import run_in_child
from benchmarks.generation.load.order import Asked, Order
from benchmarks.generation.shapes import NEW_TOKENS, ROWS, Text, varied_lengths
from benchmarks.generation.times import ServedTime
from benchmarks.measure import Meter
from benchmarks.processes import Processes

ALONE, EQUAL, VARIED = "alone", "equal", "varied"
"""One text after the other; 16 at once of as many tokens; 16 at once of 16 to 64 tokens."""
VARIED_TIMES = 3
"""So many times as many of the last, whose end, when fewer than 16 are left, would count most."""


@dataclass(frozen=True, slots=True)
class Loads:
    """How many requests each load has, and the texts that they ask for in turn."""

    texts: Sequence[Text]
    alone: int = 4
    at_once: int = 2 * ROWS

    def asked(self, load: str) -> tuple[Asked, ...]:
        """What is asked, and what has to be answered."""
        count = self.requests(load)
        lengths = varied_lengths(count) if load == VARIED else [NEW_TOKENS] * count
        return tuple(
            Asked(text.prompt, length, text.said(length))
            for length, text in zip(lengths, self._texts(count), strict=True)
        )

    def requests(self, load: str) -> int:
        if load == ALONE:
            return self.alone
        return self.at_once * (VARIED_TIMES if load == VARIED else 1)

    def _texts(self, count: int) -> list[Text]:
        return [self.texts[number % len(self.texts)] for number in range(count)]


@dataclass(frozen=True, slots=True)
class Served:
    """A server that answers."""

    name: str
    url: str
    model: str
    processes: Processes
    extra: Mapping[str, Any] = field(default_factory=dict)


def served_time(
    server: Served, load: str, loads: Loads, *, number: int, folder: Path
) -> ServedTime:
    """One load in one round; ``folder`` is for the order."""
    in_flight = 1 if load == ALONE else ROWS
    order = Order(
        server.url, server.model, loads.asked(load), loads.requests(load), in_flight,
        extra=server.extra, must_reach_length=True,
    )  # fmt: skip
    meter = Meter(server.processes)
    found = run_in_child(order, folder)
    used = meter.read()
    # The warming request counts too.
    tokens = found.tokens + order.asked[0].max_tokens
    return ServedTime(
        server=server.name, load=load, in_flight=in_flight, round=number,
        requests=found.requests, errors=found.errors, others=found.others,
        tokens_per_second=found.tokens_per_second,
        first_ms=found.first_ms.p50, first_p99_ms=found.first_ms.p99,
        token_ms=found.token_ms.p50, gap_p99_ms=found.gap_ms.p99, took_ms=found.took_ms.p50,
        cpu_ms=1e3 * used.cpu_seconds / tokens, generator_cores=found.generator_cores,
        others_cores=used.others_cores,
        error=max(found.failures, key=lambda error: found.failures[error], default=""),
    )  # fmt: skip
