"""(pure) The tables of a run, and the page around them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.figures import Spread
from benchmarks.generation.configurations import CONFIGURATIONS, ON
from benchmarks.generation.loads import ALONE, EQUAL, VARIED
from benchmarks.generation.shapes import NEW_TOKENS, PROMPT_TOKENS, ROWS
from benchmarks.generation.times import (
    OURS,
    BareTime,
    LevelTime,
    ServedTime,
    bare_of,
    overhead,
    ratio,
    served_as,
)
from benchmarks.pages import linked

BEGIN, END = "<!-- generation:begin -->", "<!-- generation:end -->"
OVERHEAD_MS, OF_BARE, OF_ALONE = 1.0, 0.9, 5.0
"""The goals: overhead of a step, and tokens per second as shares of others."""
LOADS = {
    ALONE: "one after the other",
    EQUAL: f"{ROWS} at once, {NEW_TOKENS} tokens each",
    VARIED: f"{ROWS} at once, {NEW_TOKENS // 4} to {NEW_TOKENS} tokens",
}


def page(result: Mapping[str, Any], plots: Sequence[str] = ()) -> str:
    """Everything between the markers."""
    bare = [BareTime(**each) for each in result["bare"]]
    served = [ServedTime(**each) for each in result["served"]]
    levels = [LevelTime(**each) for each in result["levels"]]
    parts = [_conditions(result, served)]
    if bare:
        parts.append(f"### Beside a bare loop\n\n{goals(bare, served)}")
    if any(each.server != OURS for each in served):
        parts += [*linked(plots), _side_by_side(result, bare, served)]
    if any(each.server == CONFIGURATIONS[1].name for each in served):
        parts.append(f"### What each improvement is worth\n\n{switches(served)}")
    if levels:
        parts.append(f"### Where a step goes\n\n{level_table(levels, bare)}")
    if result["failures"]:
        parts.append("Not measured:\n\n" + "\n".join(f"* {each}" for each in result["failures"]))
    return "\n\n".join(filter(None, parts))


def goals(bare: Sequence[BareTime], served: Sequence[ServedTime]) -> str:
    """What a step costs beyond the graphs, and what 16 at once give."""
    lines = [
        "| | bare loop | mindserve | | goal |",
        "|---|---:|---:|---:|---|",
    ]
    ours = {load: served_as(served, OURS, load) for load in LOADS}
    for rows, load in ((1, ALONE), (ROWS, EQUAL)):
        loop, beyond = bare_of(bare, rows), overhead(ours[load], bare_of(bare, rows))
        if beyond is None:
            continue
        lines.append(
            f"| ms for a token, {_rows(rows)} | {Spread.of(each.step_ms for each in loop)} |"
            f" {_spread(ours[load], 'token_ms')} | {beyond} ms more |"
            f" at most {OVERHEAD_MS:g}: {_met(beyond.median <= OVERHEAD_MS)} |"
        )
    for first, second, what, goal in (
        (ours[EQUAL], bare_of(bare, ROWS), f"tokens/s, {_rows(ROWS)}", OF_BARE),
        (ours[ALONE], bare_of(bare, 1), f"tokens/s, {_rows(1)}", 0.0),
    ):
        share = ratio(first, second)
        if share is None:
            continue
        told = f"at least {goal:g}: {_met(share.median >= goal)}" if goal else ""
        loop_rate = Spread.of(each.tokens_per_second for each in second)
        rate = _spread(first, "tokens_per_second")
        lines.append(
            f"| {what}, prompts included | {loop_rate} | {rate} | {share} of it | {told} |"
        )
    times = ratio(ours[EQUAL], ours[ALONE])
    if times is not None:
        lines.append(
            f"| {ROWS} at once beside one after the other | | | {times} times the tokens/s |"
            f" at least {OF_ALONE:g}: {_met(times.median >= OF_ALONE)} |"
        )
    return "\n".join(lines)


def comparison(served: Sequence[ServedTime], load: str, beside: Sequence[BareTime] = ()) -> str:
    """One row for each server under one load, the bare loop's rate first."""
    lines = [
        "| server | tokens/s | first token, ms | p99 | for each further token, ms |"
        " gap p99, ms | a text, ms | CPU ms per token | errors | other texts |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    if beside:
        rate = Spread.of(each.tokens_per_second for each in beside)
        step = Spread.of(each.step_ms for each in beside)
        lines.append(f"| (bare loop) | {rate} | | | {step} | | | | | |")
    figures = (
        "tokens_per_second", "first_ms", "first_p99_ms", "token_ms", "gap_p99_ms", "took_ms",
        "cpu_ms",
    )  # fmt: skip
    known = {each.name for each in CONFIGURATIONS if each is not ON}
    for server in dict.fromkeys(each.server for each in served if each.server not in known):
        rounds = served_as(served, server, load)
        if not rounds:
            continue
        cells = [_spread(rounds, figure) for figure in figures]
        cells.append(str(sum(each.errors for each in rounds)))
        requests = sum(each.requests for each in rounds)
        cells.append(f"{sum(each.others for each in rounds)} of {requests}")
        lines.append(f"| {server} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def switches(served: Sequence[ServedTime]) -> str:
    """One row for each improvement that is off."""
    whole = served_as(served, OURS, VARIED)
    lines = [
        f"| what is off | tokens/s, {LOADS[VARIED]} | of all on | first token, ms |"
        " for each further token, ms | alone: for each further token, ms |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for each in CONFIGURATIONS:
        name = OURS if each is ON else each.name
        rounds, alone = served_as(served, name, VARIED), served_as(served, name, ALONE)
        share = ratio(rounds, whole)
        if share is None:
            continue
        cells = [
            _spread(rounds, "tokens_per_second"), "1" if each is ON else str(share),
            _spread(rounds, "first_ms"), _spread(rounds, "token_ms"), _spread(alone, "token_ms"),
        ]  # fmt: skip
        lines.append(f"| {each.what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def level_table(levels: Sequence[LevelTime], bare: Sequence[BareTime]) -> str:
    """One row for each level, with microseconds of a step."""
    lines = [f"| µs of a step | {_rows(1)} | {_rows(ROWS)} |", "|---|---:|---:|"]
    for level in dict.fromkeys(each.level for each in levels):
        cells = [
            _cell(each.step_us for each in levels if (each.level, each.rows) == (level, rows))
            for rows in (1, ROWS)
        ]
        lines.append(f"| {WORDS.get(level, level)} | " + " | ".join(cells) + " |")
    if bare:
        cells = [
            _cell(1e3 * each.step_ms for each in bare if each.rows == rows) for rows in (1, ROWS)
        ]
        lines.append("| bare loop of the real graphs | " + " | ".join(cells) + " |")
    return "\n".join(lines)


WORDS = {
    "scheduler": "the scheduler alone: plan a step, take in what came",
    "transport": "an empty step, from a worker to a device process and back",
    "fake graph": "the fake model's graph alone",
    "master alone, CPU": "CPU of a master whose worker is simulated: HTTP, JSON, events",
    "fake model": "everything with a fake model: from token to token at the client",
    "real model": "everything with the real model: from token to token at the client",
}


def _side_by_side(
    result: Mapping[str, Any], bare: Sequence[BareTime], served: Sequence[ServedTime]
) -> str:
    lines = ["### Beside other servers\n", "| server | version | set up |", "|---|---|---|"]
    lines += [
        f"| {name} | {each['version']} | {each['remark']} |"
        for name, each in result["peers"].items()
    ]
    for load, words in LOADS.items():
        beside = {ALONE: bare_of(bare, 1), EQUAL: bare_of(bare, ROWS)}.get(load, [])
        lines.append(f"\n{words[0].upper()}{words[1:]}:\n\n{comparison(served, load, beside)}")
    return "\n".join(lines)


def _conditions(result: Mapping[str, Any], served: Sequence[ServedTime]) -> str:
    others = Spread.of(each.others_cores for each in served)
    generator = max(each.generator_cores for each in served)
    return (
        f"{result['date']}, {result['machine']}. {result['rounds']} interleaved rounds; medians "
        f"(least to most). In each, {result['alone']} texts one after the other and "
        f"{result['at_once']} with {ROWS} at once ({result['varied']} where lengths differ); "
        f"prompts of {PROMPT_TOKENS} tokens. Something else on the machine kept {others} "
        f"cores busy meanwhile, the load generator at most {generator:.2f}."
    )


def _spread(rounds: Iterable[ServedTime], figure: str) -> str:
    return _cell(getattr(each, figure) for each in rounds)


def _cell(values: Iterable[float]) -> str:
    found = list(values)
    return str(Spread.of(found)) if found else ""


def _rows(rows: int) -> str:
    return "one text at a time" if rows == 1 else f"{rows} texts at once"


def _met(is_met: bool) -> str:
    return "met" if is_met else "missed"
