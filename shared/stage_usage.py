"""How functions and models are used as stages: the same everywhere in one servable."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from shared.stage_graph import ModelCall


@dataclass(frozen=True, slots=True)
class Usage:
    """How one stage calls its function or model."""

    inputs: int
    outputs: int
    batched: bool = False

    def difference(self, other: "Usage") -> tuple[str, int, int] | None:
        """Which count differs, and both values; None when all agree."""
        if self.inputs != other.inputs:
            return "inputs", self.inputs, other.inputs
        if self.outputs != other.outputs:
            return "outputs", self.outputs, other.outputs
        return None


@dataclass(slots=True)
class StageUsages:
    """The first usage of everything that is a stage in one servable."""

    models: dict[ModelCall, Usage] = field(default_factory=dict)
    functions: dict[Hashable, Usage] = field(default_factory=dict)

    def check_model(self, call: ModelCall, usage: Usage) -> None:
        """Refuse a subgraph with other counts than before, in the original's words."""
        if difference := usage.difference(self.models.setdefault(call, usage)):
            what, count, old = difference
            subgraph = f", subgraph: {call.subgraph}" if call.subgraph else ""
            raise RuntimeError(
                f"RegisterInputOutputInfo failed, {what} count {count} not match old count {old},"
                f" model: {call.model}{subgraph}"
            )

    def check_function(
        self, function: Callable[..., Any], name: str, method: str, usage: Usage
    ) -> None:
        """Refuse a function that is used otherwise than before, in the original's words."""
        # Two functions of one name (lambdas, say) are two: the function itself is the key.
        key = function if isinstance(function, Hashable) else id(function)
        known = self.functions.setdefault(key, usage)
        if difference := usage.difference(known):
            what, count, old = difference
            raise RuntimeError(
                f"Stage function '{name}' {what} count {count} not match last registered count"
                f" {old}, method name '{method}'"
            )
        if usage.batched != known.batched:
            raise RuntimeError(
                f"Failed to add stage function {name}: parameter 'batch_size' in multiple"
                " 'add_stage' should be enabled or disabled consistently"
            )
