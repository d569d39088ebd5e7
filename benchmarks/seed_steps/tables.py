"""(pure) The tables of the document's four steps."""

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.figures import Spread
from benchmarks.seed_steps.steps import (
    DEVICE_MS,
    PAYLOADS,
    POSTPROCESS_MS,
    PREPROCESS_MS,
    STEPS,
    BareTime,
    Step,
    StepTime,
    Turn,
)

BEGIN, END = "<!-- seed-002:begin -->", "<!-- seed-002:end -->"
LEAST_RATIO = 0.97


def page(result: Mapping[str, Any]) -> str:
    """Everything between the markers."""
    times = [StepTime(**each) for each in result["steps"]]
    bare = [BareTime(**each) for each in result["bare"]]
    turns = [Turn(**each) for each in result["turns"]]
    parts = [
        f"{result['date']}, {result['machine']}. {result['rounds']} interleaved rounds, services "
        f"started afresh for each step in each; {result['images']} images a request; medians "
        f"(least to most). Stage times: preprocess {PREPROCESS_MS:g} ms without holding a core, "
        f"device {DEVICE_MS:g} ms, postprocess {POSTPROCESS_MS:g} ms."
    ]
    for payload in PAYLOADS:
        ours = [each for each in times if each.payload == payload.key]
        if ours:
            others = Spread.of(each.others_cores for each in ours)
            parts.append(
                f"With {payload.what}. Something else kept {others} cores busy meanwhile.\n\n"
                f"{step_table(ours)}"
            )
            if payload is PAYLOADS[0] and bare:
                parts.append(bare_section(ours, bare))
    if turns:
        parts.append(turn_section(turns))
    if result["failures"]:
        parts.append("Not measured:\n\n" + "\n".join(f"* {each}" for each in result["failures"]))
    return "\n\n".join(parts)


def step_table(times: list[StepTime]) -> str:
    """One row for each step."""
    lines = [
        "| step | ms per image | ideal | of the ideal | goal | the document | server CPU ms per "
        "image |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for step in STEPS:
        ours = [each for each in times if each.step == step.number]
        if ours:
            spread = Spread.of(each.ms_per_image for each in ours)
            cpu = statistics.median(each.server_cpu_ms for each in ours)
            lines.append(
                f"| {step.number}. {step.what} | {spread} | {step.ideal_ms:.2f} "
                f"| {spread.median / step.ideal_ms:.3f} | {verdict(step, spread.median)} "
                f"| {step.document_ms:.2f} | {cpu:.1f} |"
            )
    return "\n".join(lines)


def bare_section(times: list[StepTime], bare: list[BareTime]) -> str:
    """Each step beside its processes alone."""
    lines = [
        "The same processes with only pipes between them, and nothing served:",
        "",
        "| step | bare processes, ms per image | of the ideal | the services beside them |",
        "|---|---:|---:|---:|",
    ]
    for step in STEPS:
        alone = [each.ms_per_image for each in bare if each.step == step.number]
        ours = [each.ms_per_image for each in times if each.step == step.number]
        if alone and ours:
            spread = Spread.of(alone)
            lines.append(
                f"| {step.number}. {step.what} | {spread} | {spread.median / step.ideal_ms:.3f} "
                f"| {statistics.median(ours) / spread.median:.3f} |"
            )
    return "\n".join(lines)


def verdict(step: Step, ms_per_image: float) -> str:
    """Whether a step's goal is met."""
    met = "met" if ms_per_image <= step.goal_ms else "missed"
    return f"{step.goal_ms:.2f}: {met}"


def turn_section(turns: list[Turn]) -> str:
    """The real model: the stack beside the bare loop, turn by turn."""
    ratio = Spread.of(each.ratio for each in turns)
    met = "met" if ratio.median >= LEAST_RATIO else "missed"
    return (
        "Real ResNet-50 on MindSpore, batches of 8; the loop and the stack take turns of "
        f"{turns[0].images} images on the same cores, the client included in the stack's:\n\n"
        "| | images/s |\n|---|---:|\n"
        f"| bare loop | {Spread.of(each.loop_per_second for each in turns)} |\n"
        f"| whole stack | {Spread.of(each.stack_per_second for each in turns)} |\n"
        f"| ratio, turn by turn | {ratio} |\n\n"
        f"Goal: at least {LEAST_RATIO}: {met}."
    )
