"""(pure) What is measured, and the statistics of it."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.layout import Layout

LOOP = "bare loop"
"""What stands where servers stand: no server, the model called again and again."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One server under one load in one round."""

    work: str
    server: str
    connections: int
    in_flight: int
    """Requests that all connections together keep in flight."""
    round: int
    requests: int
    errors: int
    """Requests that failed, or whose answer had not the length of a right one."""
    seconds: float
    cpu_us: float
    """CPU time of all the server's processes, per request."""
    per_second: float
    p50_ms: float
    p99_ms: float
    pss_mb: float
    """Memory of all the server's processes, shared pages counted once."""
    rss_mb: float
    others_cores: float
    """Cores that neither the server nor the load generator kept busy meanwhile."""

    @property
    def layout(self) -> Layout:
        return Layout(self.connections, self.in_flight // self.connections)


@dataclass(frozen=True, slots=True)
class OpenSample:
    """One server in one round while requests arrive at random."""

    work: str
    server: str
    rate: float
    """Requests that arrive per second."""
    round: int
    requests: int
    errors: int
    """Requests that failed, or were not answered within 10 s."""
    p50_ms: float
    p99_ms: float
    late_p99_ms: float
    """How late requests left the load generator, which the latencies include."""
    cpu_us: float
    others_cores: float


def described(found: Any) -> dict[str, Any]:
    """Any dataclass of figures as JSON, in digits that mean something."""
    return {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in asdict(found).items()
    }


@dataclass(frozen=True, slots=True)
class Spread:
    """The rounds of one figure."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        found = list(values)
        return cls(statistics.median(found), min(found), max(found))

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.least)} to {short(self.most)})"


def throughput(samples: Iterable[Sample], work: str, server: str) -> float:
    """The most requests per second that a server did in a closed loop; 0 if it was not asked."""
    layouts: dict[Layout, list[float]] = {}
    for each in samples:
        if (each.work, each.server) == (work, server):
            layouts.setdefault(each.layout, []).append(each.per_second)
    return max(map(statistics.median, layouts.values()), default=0.0)


def short(value: float) -> str:
    """Three digits that count, and never a power of ten."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def percentile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that ``part`` of all values do not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
