"""A method's body, traced once: which stage takes whose outputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

# Where a value comes from: an output of a stage, or of the method's inputs.
METHOD_INPUTS = -1


@dataclass(frozen=True, slots=True)
class Source:
    """Output ``output`` of stage ``stage``; METHOD_INPUTS means the method's own inputs."""

    stage: int
    output: int


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """A stage that is a Python function.

    ``batch_size`` None: called once per instance with one argument per input.
    0 or n: called with a list of instances (each a tuple of inputs), all that
    are at hand or at most n.
    """

    name: str
    function: Callable[..., Any]
    batch_size: int | None
    is_pipeline: bool = False
    """Whether it calls methods of servables, and waits for them."""


class ModelCall(NamedTuple):
    """A stage that is a model, executed on a device in batches."""

    model: str
    subgraph: int = 0


@dataclass(frozen=True, slots=True)
class Stage:
    """One node: what it calls, where its inputs come from, how many outputs it has."""

    call: FunctionCall | ModelCall
    inputs: tuple[Source, ...]
    outputs_count: int
    tag: str
    """What error texts call it."""


@dataclass(frozen=True, slots=True)
class StageGraph:
    """Stages in an order in which every input is produced before it is used."""

    inputs_count: int
    stages: tuple[Stage, ...]
    outputs: tuple[Source, ...]

    def __post_init__(self) -> None:
        for index, stage in enumerate(self.stages):
            for source in stage.inputs:
                self._check(source, before=index, user=f"stage {index + 1} ({stage.tag})")
        for source in self.outputs:
            self._check(source, before=len(self.stages), user="the method's return value")

    def _check(self, source: Source, *, before: int, user: str) -> None:
        if source.stage >= before:
            raise ValueError(f"{user} uses stage {source.stage + 1}, which does not run before it")
        count = (
            self.inputs_count
            if source.stage == METHOD_INPUTS
            else self.stages[source.stage].outputs_count
        )
        if not 0 <= source.output < count:
            raise ValueError(f"{user} uses output {source.output} of {count}")

    def models(self) -> frozenset[str]:
        """Keys of the models that this graph calls."""
        return frozenset(s.call.model for s in self.stages if isinstance(s.call, ModelCall))


def predecessors(stage: Stage) -> Sequence[int]:
    """The stages that must have run before ``stage``."""
    return sorted({source.stage for source in stage.inputs} - {METHOD_INPUTS})
