"""(pure) The tables of two graphs beside a merged one."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.figures import Spread
from benchmarks.seed_graphs.sizes import LAYERS
from benchmarks.seed_graphs.times import GRAPHS, WAYS, OwnTime, RunTime, ideal_ratios, ratios

BEGIN, END = "<!-- seed-000:begin -->", "<!-- seed-000:end -->"


def page(result: Mapping[str, Any]) -> str:
    """Everything between the markers."""
    own = [OwnTime(**each) for each in result["own"]]
    runs = [RunTime(**each) for each in result["runs"]]
    parts = [
        f"{result['date']}, {result['machine']}. {result['rounds']} interleaved rounds; medians "
        f"(least to most). Both graphs have {LAYERS} layers of {result['width']} x "
        f"{result['width']}; the first one reads {result['words']} words, the step graph one."
    ]
    if own:
        parts.append(f"The graphs alone, in a process of their own:\n\n{own_table(own)}")
    if runs:
        others = Spread.of(each.others_cores for each in runs)
        parts.append(
            "Pipelines by way of client, master, worker and agent. Something else kept "
            f"{others} cores busy meanwhile.\n\n{run_table(own, runs)}"
        )
    if result["failures"]:
        parts.append("Not measured:\n\n" + "\n".join(f"* {each}" for each in result["failures"]))
    return "\n\n".join(parts)


def own_table(own: Sequence[OwnTime]) -> str:
    """One row for each number of rows."""
    lines = [
        "| rows of a call | first graph, ms | step graph, ms | merged graph, ms |",
        "|---:|---:|---:|---:|",
    ]
    for rows in sorted({each.rows for each in own}):
        spreads = [
            str(Spread.of(each.ms for each in own if (each.graph, each.rows) == (graph, rows)))
            for graph in GRAPHS
        ]
        lines.append(f"| {rows} | {' | '.join(spreads)} |")
    return "\n".join(lines)


def run_table(own: Sequence[OwnTime], runs: Sequence[RunTime]) -> str:
    """One row for each number of pipelines and steps."""
    lines = [
        "| pipelines at once | steps | two graphs, ms | merged, ms | times faster | ideal | of the "
        "ideal |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for rows, steps in sorted({(each.rows, each.steps) for each in runs}):
        found = ratios(runs, rows, steps)
        if not found:
            continue
        ideals = ideal_ratios(own, rows, steps)
        took = [
            str(
                Spread.of(
                    each.ms
                    for each in runs
                    if (each.way, each.rows, each.steps) == (way, rows, steps)
                )
            )
            for way in WAYS
        ]
        ratio, ideal = Spread.of(found), Spread.of(ideals)
        lines.append(
            f"| {rows} | {steps} | {' | '.join(took)} | {ratio} | {ideal} "
            f"| {ratio.median / ideal.median:.2f} |"
        )
    return "\n".join(lines)
