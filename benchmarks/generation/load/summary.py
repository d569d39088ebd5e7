"""(pure) What all answers of a load come to."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.figures import percentile, short
from benchmarks.generation.load.answer import Answered

BUSY_CORES = 0.5
"""A generator that keeps more of its one core busy may be what is measured."""


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds of which half, nine tenths and 99 of a hundred are not longer."""

    p50: float
    p90: float
    p99: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Quantiles":
        """All 0 where there are none."""
        ordered = sorted(seconds) or [0.0]
        found = [1e3 * percentile(ordered, part) for part in (0.5, 0.9, 0.99)]
        return cls(*found, 1e3 * ordered[-1])


@dataclass(frozen=True, slots=True)
class Summary:
    """One load; times are those of right answers, since what fails at once is not fast."""

    requests: int
    failures: Mapping[str, int]
    """How many answers were wrong, by why."""
    others: int
    """Right answers with another text than expected."""
    seconds: float
    tokens: int
    """Of right answers' completions."""
    prompt_tokens: int
    first_ms: Quantiles
    """Time to first token."""
    gap_ms: Quantiles
    """Between two pieces of one text."""
    token_ms: Quantiles
    """Mean time for each token after the first one, of a request."""
    took_ms: Quantiles
    late_ms: Quantiles
    """How late requests left the generator."""
    generator_cores: float
    """Cores that the generator kept busy."""

    @property
    def errors(self) -> int:
        return sum(self.failures.values())

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds

    @property
    def requests_per_second(self) -> float:
        return (self.requests - self.errors) / self.seconds

    @classmethod
    def of(cls, answers: Sequence[Answered], seconds: float, generator_seconds: float) -> "Summary":
        """``generator_seconds``: CPU time of the process that sent the requests."""
        right = [each for each in answers if not each.error]
        longer = [each for each in right if each.tokens > 1]
        return cls(
            requests=len(answers),
            failures=dict(Counter(each.error for each in answers if each.error)),
            others=sum(not each.same for each in right),
            seconds=seconds,
            tokens=sum(each.tokens for each in right),
            prompt_tokens=sum(each.prompt_tokens for each in right),
            first_ms=Quantiles.of([each.first for each in right]),
            gap_ms=Quantiles.of([gap for each in right for gap in each.gaps]),
            token_ms=Quantiles.of(
                [(each.took - each.first) / (each.tokens - 1) for each in longer]
            ),
            took_ms=Quantiles.of([each.took for each in right]),
            late_ms=Quantiles.of([each.late for each in answers]),
            generator_cores=generator_seconds / seconds,
        )

    def described(self) -> dict[str, Any]:
        """As JSON, in digits that mean something."""
        rates = {
            "tokens_per_second": self.tokens_per_second,
            "requests_per_second": self.requests_per_second,
        }
        return {key: _rounded(value) for key, value in {**asdict(self), **rates}.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def table(summary: Summary) -> str:
    """For people."""
    lines = [
        "| ms | p50 | p90 | p99 | most |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, quantiles in (
        ("time to first token", summary.first_ms),
        ("between two pieces", summary.gap_ms),
        ("for each token after the first", summary.token_ms),
        ("end to end", summary.took_ms),
        ("left the generator late by", summary.late_ms),
    ):
        cells = (quantiles.p50, quantiles.p90, quantiles.p99, quantiles.most)
        lines.append(f"| {name} | " + " | ".join(map(short, cells)) + " |")
    told = (
        f"{summary.requests} requests in {short(summary.seconds)} s, {summary.errors} errors; "
        f"{short(summary.tokens_per_second)} tokens/s, {short(summary.requests_per_second)} "
        f"requests/s; the generator kept {summary.generator_cores:.2f} cores busy."
    )
    notes = [f"* {number} times: {error}" for error, number in summary.failures.items()]
    if summary.others:
        notes.append(f"* {summary.others} answers were another text than expected")
    if summary.generator_cores > BUSY_CORES:
        notes.append(f"* more than {BUSY_CORES} cores: the generator may be the bottleneck")
    return "\n".join([*lines, "", told, *notes])
