"""(pure) The tables of the scaling parts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.figures import Spread, short
from benchmarks.pages import linked
from benchmarks.scaling.points import Idle, Moment, Point
from benchmarks.scaling.trend import Trend

BEGIN, END = "<!-- scaling:begin -->", "<!-- scaling:end -->"
WORDS = {
    "callers": (
        "callers", "y = 2x on 16 floats, each caller with a connection and one request in flight; "
        "all processes.",
    ),
    "workers": (
        "workers", "y = 2x on 16 floats, 8 connections with 8 streams each; CPU time and memory of "
        "the master alone. One process simulates the workers: it joins as many and answers.",
    ),
    "payload": (
        "bytes", "A tensor of so many bytes in, its first 4 KB out, 4 connections with one request "
        "in flight each; all processes.",
    ),
}  # fmt: skip


def page(result: Mapping[str, Any], plots: Sequence[str] = ()) -> str:
    """Everything between the markers."""
    points = [Point(**each) for each in result["points"]]
    parts = [
        f"{result['date']}, {result['machine']}. {result['rounds']} interleaved rounds of about "
        f"{result['seconds']:g} s for each load; medians (least to most)."
    ]
    for part, (unit, words) in WORDS.items():
        ours = [each for each in points if each.part == part]
        if ours:
            parts.append(f"### More {unit}\n\n{words}\n\n{load_table(ours, unit)}")
            parts += linked([each for each in plots if each.endswith(f"-{part}.svg")])
    if result["idle"]:
        parts.append(idle_section([Idle(**each) for each in result["idle"]]))
    if result["moments"]:
        parts.append(flat_section([Moment(**each) for each in result["moments"]]))
        parts += linked([each for each in plots if each.endswith("-flat.svg")])
    if result["failures"]:
        parts.append("Not measured:\n\n" + "\n".join(f"* {each}" for each in result["failures"]))
    return "\n\n".join(parts)


def load_table(points: Sequence[Point], unit: str) -> str:
    """One row for each wire and size."""
    lines = [
        f"| wire | {unit} | CPU µs per request | requests/s | p50 ms | p99 ms | MB | errors |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for wire in dict.fromkeys(each.wire for each in points):
        for size in sorted({each.size for each in points if each.wire == wire}):
            rounds = [each for each in points if (each.wire, each.size) == (wire, size)]
            cells = [
                wire, f"{size:,}", _spread(rounds, lambda each: each.cpu_us),
                _spread(rounds, lambda each: each.per_second),
                _spread(rounds, lambda each: each.p50_ms),
                _spread(rounds, lambda each: each.p99_ms),
                f"{Spread.of(each.pss_mb for each in rounds).median:.0f}",
                sum(each.errors for each in rounds),
            ]  # fmt: skip
            lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _spread(rounds: Sequence[Point], figure: Callable[[Point], float]) -> Spread:
    return Spread.of(map(figure, rounds))


def idle_section(found: Sequence[Idle]) -> str:
    """What a connection costs that does nothing."""
    lines = [
        "### Idle connections\n\nMemory that the master has written, with connections that have "
        "carried one request each and do nothing.\n",
        "| wire | connections | KB for each | MB before | MB with them | MB after |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for wire in dict.fromkeys(each.wire for each in found):
        rounds = [each for each in found if each.wire == wire]
        megabytes = [
            f"{Spread.of(getattr(each, key) / 1e6 for each in rounds).median:.1f}"
            for key in ("before", "during", "after")
        ]
        each_kb = Spread.of(each.kb_each for each in rounds)
        lines.append(
            f"| {wire} | {rounds[0].connections:,} | {each_kb} | {' | '.join(megabytes)} |"
        )
    return "\n".join(lines)


def flat_section(moments: Sequence[Moment]) -> str:
    """What a long run did to memory and CPU time."""
    lines = [
        "### Over time\n\n4 connections with 4 requests in flight each, without pause. A figure "
        "grows if its slope is 3 times the slope's noise and adds 2 % of its mean; the first fifth "
        "of a run is not judged. Memory is what the processes have written. The control is a "
        "servable whose Python stage keeps 4 KB of each request and looks through them.\n",
        "| run | minutes | requests | errors | figure | mean | a minute | noise | verdict |",
        "|---|---:|---:|---:|---|---:|---:|---:|---|",
    ]
    for run in dict.fromkeys(each.run for each in moments):
        ours = [each for each in moments if each.run == run]
        seconds = [each.second for each in ours]
        head = (
            f"| {run} | {seconds[-1] / 60:.1f} | {sum(each.requests for each in ours):,} "
            f"| {sum(each.errors for each in ours)} |"
        )
        for name, values in (
            ("memory, MB", [each.written_mb for each in ours]),
            ("CPU µs per request", [each.cpu_us for each in ours]),
        ):
            lines.append(f"{head} {name} | {verdict(seconds, values)}")
    return "\n".join(lines)


def verdict(seconds: Sequence[float], values: Sequence[float]) -> str:
    """The last cells of a row."""
    try:
        trend = Trend.of(seconds, values)
    except ValueError as failure:
        return f"| | | {failure} |"
    slope = f"{'-' if trend.per_minute < 0 else ''}{short(abs(trend.per_minute))}"
    word = "grows" if trend.grows else "flat"
    return f"{short(trend.mean)} | {slope} | {short(trend.noise_per_minute)} | {word} |"
