"""What a servable_config.py declares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.stage_graph import FunctionCall, StageGraph


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model of a servable: one file, or several files that are its subgraphs."""

    key: str
    """File names joined with ';': how stages and messages name the model."""
    files: tuple[str, ...]
    format: str
    """Lower case: ``mindir``, ``reference``, ..."""
    with_batch_dim: bool
    without_batch_dim_inputs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Method:
    """One callable entry of a servable."""

    name: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    graph: StageGraph


@dataclass(frozen=True, slots=True)
class Servable:
    """What a client calls by name."""

    name: str
    methods: Mapping[str, Method]
    models: Mapping[str, ModelSpec]

    @property
    def has_functions(self) -> bool:
        """Whether any stage is a Python function."""
        return any(
            isinstance(stage.call, FunctionCall)
            for method in self.methods.values()
            for stage in method.graph.stages
        )


class ServableVersion(NamedTuple):
    """A servable at one version: what is loaded, offered and routed to."""

    servable: str
    version: int

    def __str__(self) -> str:
        return f"servable '{self.servable}' version {self.version}"


def request_text(servable: str, method: str, version: int = 0) -> str:
    """What a request asks for in the original's words, a space at the end included."""
    named = f"version({version}) " if version else ""
    return f"Request servable({servable}) method({method}) {named}"
