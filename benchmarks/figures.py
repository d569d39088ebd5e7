"""(pure) What is measured, and the statistics of it."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.layout import Layout


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
    """Requests that failed, or whose answer was shorter than a right one."""
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

    def described(self) -> dict[str, Any]:
        return {
            key: round(value, 3) if isinstance(value, float) else value
            for key, value in asdict(self).items()
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


def short(value: float) -> str:
    """Three digits that count, and never a power of ten."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def percentile(ordered: Sequence[float], part: float) -> float:
    """The smallest value that ``part`` of all values do not exceed."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]
