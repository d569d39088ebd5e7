"""(pure) When requests are to leave, and what became of them."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.figures import percentile


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds after the start at which requests leave: ``rate`` a second, independent of another.

    The same seed gives the same moments; there is at least one.
    """
    chance = random.Random(seed)
    moments = [chance.expovariate(rate)]
    while moments[-1] < seconds:
        moments.append(moments[-1] + chance.expovariate(rate))
    return moments[:-1] or moments


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request; times in seconds."""

    late: float
    """How long after the moment that was meant for it the request left the generator."""
    took: float
    """From the moment that was meant for it to its answer: a wait behind others counts."""
    is_right: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """All requests of one open loop."""

    requests: int
    errors: int
    warmed: int
    """Requests sent before, which count in nothing else here."""
    p50_ms: float
    p99_ms: float
    late_p99_ms: float

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], warmed: int = 0) -> "Summary":
        """Latencies are those of right answers; what failed at once was not fast."""
        found = list(outcomes)
        took = sorted(1e3 * each.took for each in found if each.is_right) or [0.0]
        late = sorted(1e3 * each.late for each in found)
        return cls(
            requests=len(found),
            errors=sum(not each.is_right for each in found),
            warmed=warmed,
            p50_ms=percentile(took, 0.5),
            p99_ms=percentile(took, 0.99),
            late_p99_ms=percentile(late, 0.99),
        )


def resolved(rates: Sequence[str], capacities: Iterable[float]) -> list[float]:
    """Rates as numbers: ``half`` is half of what the slowest server can do, in two digits."""
    slowest = min(capacities)
    return [float(f"{slowest / 2:.2g}") if each == "half" else float(each) for each in rates]
