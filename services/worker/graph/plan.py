"""(pure) A method's graph, worked out once for all of its requests."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.servable import Method
from shared.stage_graph import METHOD_INPUTS, FunctionCall, Source, Stage, predecessors


@dataclass(frozen=True, slots=True)
class StagePlan:
    """One stage: the places its inputs come from and its outputs go to."""

    stage: Stage
    index: int
    """Among the method's stages, from 0."""
    reads: tuple[int, ...]
    writes: slice
    needs: tuple[int, ...]
    """Stages that must have run before, by index."""
    where: str
    """What the texts of its failures begin with."""
    read_again: tuple[int, ...]
    """Of a function, numbers of the inputs that later stages read too, or the method returns."""


@dataclass(frozen=True, slots=True)
class MethodPlan:
    """Every value of an instance has a place: first the inputs, then each stage's outputs."""

    method: Method
    stages: tuple[StagePlan, ...]
    outputs: tuple[int, ...]
    """The places of what the method returns."""
    places: int
    is_chain: bool
    """Whether each stage needs the one before it, so that none can run beside another."""
    flows: bool
    """Whether instances can go on to the next stage one by one: no stage wants them together."""


def plan_of(method: Method) -> MethodPlan:
    """The plan of a method."""
    starts = [method.graph.inputs_count]
    for stage in method.graph.stages:
        starts.append(starts[-1] + stage.outputs_count)

    def place(source: Source) -> int:
        begin = 0 if source.stage == METHOD_INPUTS else starts[source.stage]
        return begin + source.output

    reads = [tuple(map(place, stage.inputs)) for stage in method.graph.stages]
    outputs = tuple(map(place, method.graph.outputs))
    stages = tuple(
        StagePlan(
            stage,
            index,
            reads[index],
            slice(starts[index], starts[index + 1]),
            tuple(predecessors(stage)),
            _where(method, stage, index),
            _read_again(stage, reads[index], {*outputs}.union(*reads[index + 1 :])),
        )
        for index, stage in enumerate(method.graph.stages)
    )
    return MethodPlan(method, stages, outputs, starts[-1], _is_chain(stages), _flows(stages))


def _where(method: Method, stage: Stage, index: int) -> str:
    """The original's words, and the function (of which servable) where the tag hides it."""
    where = (
        f"Call {stage.tag} Failed, method: '{method.name}',"
        f" stage index(begin with 1): {index + 1}, error msg: "
    )
    call = stage.call
    if not isinstance(call, FunctionCall) or f"'{call.name}'" in stage.tag:
        return where
    return f"{where}Function '{call.name}': "


def _read_again(stage: Stage, reads: Sequence[int], later: set[int]) -> tuple[int, ...]:
    if not isinstance(stage.call, FunctionCall):
        return ()
    return tuple(number for number, place in enumerate(reads) if place in later)


def _is_chain(stages: Sequence[StagePlan]) -> bool:
    return all(index in stage.needs for index, stage in enumerate(stages[1:]))


def _flows(stages: Sequence[StagePlan]) -> bool:
    functions = [each.stage.call for each in stages if isinstance(each.stage.call, FunctionCall)]
    return len(stages) > 1 and bool(functions) and all(f.batch_size is None for f in functions)
