"""(pure) The tables that the benchmark writes, and the page around them."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks import open_tables
from benchmarks.figures import LOOP, OpenSample, Sample, Spread, throughput
from benchmarks.layout import Layout
from benchmarks.pages import linked
from benchmarks.works import WORKS

SECTIONS = {
    "servers": ("<!-- bench:begin -->", "<!-- bench:end -->"),
    "goals": ("<!-- goals:begin -->", "<!-- goals:end -->"),
    "lone": ("<!-- lone:begin -->", "<!-- lone:end -->"),
    "http": ("<!-- http:begin -->", "<!-- http:end -->"),
}
"""What the page has of comparisons: each is a committed result and stands between its markers."""
HEAD = (
    "| server | connections x streams | CPU µs per request | requests/s | p50 ms | p99 ms | MB |"
    " errors |",
    "|---|---:|---:|---:|---:|---:|---:|---:|",
)
LOOP_HEAD = (" of the loop |", "---:|")
LOOP_WORDS = (
    f"The {LOOP} is no server but the model called in one process, image by image (1x1) or 8 at a "
    "time (1x8, where p50 and p99 are those of a batch). The last column is requests/s over those "
    "of the better loop."
)


def page(result: Mapping[str, Any], plots: Sequence[str] = ()) -> str:
    """Everything between the markers."""
    samples = [Sample(**each) for each in result["samples"]]
    parts = [_conditions(result, samples), _servers(result["servers"])]
    ordinary = [
        each for each in samples
        if not WORKS[each.work].is_about_layouts and each.server != LOOP
    ]  # fmt: skip
    if ordinary:
        parts.append(summary(ordinary))
    parts += linked(plots)
    for key in sorted({each.work for each in samples}):
        ours = [each for each in samples if each.work == key]
        parts.append(f"### {key}. {WORKS[key].what}\n\n{table(ours)}")
    if any(each.layout.streams > 1 for each in samples):
        parts.append(_without_streams(result["servers"]))
    opened = [OpenSample(**each) for each in result["open"]]
    if opened:
        parts.append(open_tables.section(opened, samples))
    if result["failures"]:
        parts.append("Not measured:\n\n" + "\n".join(f"* {each}" for each in result["failures"]))
    return "\n\n".join(filter(None, parts))


def table(samples: Sequence[Sample]) -> str:
    """One row for each server and load, in the order in which they were measured."""
    groups: dict[tuple[str, Layout], list[Sample]] = {}
    for each in samples:
        groups.setdefault((each.server, each.layout), []).append(each)
    order = list(dict.fromkeys(server for server, _ in groups))
    rows = sorted(groups, key=lambda group: (order.index(group[0]), group[1].in_flight))
    lines = [*HEAD, *(_row(*group, groups[group]) for group in rows)]
    limit = throughput(samples, samples[0].work, LOOP)
    if not limit:
        return "\n".join(lines)
    medians = [Spread.of(each.per_second for each in groups[group]).median for group in rows]
    shares = [*LOOP_HEAD, *(f" {100 * each / limit:.0f} % |" for each in medians)]
    table = "\n".join(line + share for line, share in zip(lines, shares, strict=True))
    return f"{table}\n\n{LOOP_WORDS}"


def summary(samples: Sequence[Sample]) -> str:
    """CPU per request of every server and work, under one load."""
    loads = sorted({each.in_flight for each in samples})
    load = loads[len(loads) // 2]
    samples = [each for each in samples if each.in_flight == load]
    works = sorted({each.work for each in samples})
    lines = [
        f"### CPU µs per request, {load} in flight\n",
        "| server | " + " | ".join(f"{key}. {WORKS[key].what}" for key in works) + " |",
        "|---" + "|---:" * len(works) + "|",
    ]
    for server in dict.fromkeys(each.server for each in samples):
        cells = [
            [each.cpu_us for each in samples if (each.server, each.work) == (server, key)]
            for key in works
        ]
        texts = [str(Spread.of(cell)) if cell else "" for cell in cells]
        lines.append(f"| {server} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _row(server: str, layout: Layout, rounds: Sequence[Sample]) -> str:
    cells = [
        server, layout, Spread.of(each.cpu_us for each in rounds),
        Spread.of(each.per_second for each in rounds), Spread.of(each.p50_ms for each in rounds),
        Spread.of(each.p99_ms for each in rounds),
        f"{Spread.of(each.pss_mb for each in rounds).median:.0f}",
        sum(each.errors for each in rounds),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _conditions(result: Mapping[str, Any], samples: Sequence[Sample]) -> str:
    others = Spread.of(each.others_cores for each in samples)
    return (
        f"{result['date']}, {result['machine']}. {result['rounds']} interleaved rounds of about "
        f"{result['seconds']:g} s for each server and load, a fresh server each round; medians "
        f"(least to most). Something else on the machine kept {others} cores busy meanwhile."
    )


def _servers(servers: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["| server | version | protocol | set up |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {each['version']} | {each['protocol']} | {each['remark']} |"
        for name, each in servers.items()
    ]
    return "\n".join(lines)


def _without_streams(servers: Mapping[str, Mapping[str, str]]) -> str:
    names = [name for name, each in servers.items() if each["protocol"].startswith("HTTP/1.1")]
    return (
        "Over HTTP/1.1 a connection carries one request at a time, so instead of streams there are "
        f"as many connections: {', '.join(names)}."
        if names
        else ""
    )
