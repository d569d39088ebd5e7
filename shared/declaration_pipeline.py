"""Pipelines of versions 1.3 and 1.4, recorded as methods of one stage that calls other methods."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared import declaration_arguments as arguments
from shared.declaration_state import current_declaration
from shared.method_calls import CalledMethod, call_method
from shared.servable import Method
from shared.stage_graph import METHOD_INPUTS, FunctionCall, Source, Stage, StageGraph

_TAG = "Pipeline"


@dataclass(frozen=True, slots=True)
class PipelineServable:
    """A method of a servable, as pipelines call it.

    version_number: 0 means the pipeline's own version, or the newest of another servable.
    Raises RuntimeError for arguments that cannot name a method.
    """

    servable_name: str
    method: str
    version_number: int = 0

    def __post_init__(self) -> None:
        arguments.check_text("servable_name", self.servable_name)
        arguments.check_text("method", self.method)
        arguments.check_count("version_number", self.version_number, at_least=0)

    def run(self, *args: Any) -> Any:
        """Call the method inside a pipeline, batched with what others call.

        args: the inputs of one instance (arrays, numbers, text, bytes): gives its output, a
        tuple when there are several. Or one list of instances: gives a list of tuples.
        Raises RuntimeError when the method refuses or fails.
        """
        called = CalledMethod(self.servable_name, self.method, self.version_number)
        return call_method(called, args)


def register_pipeline(
    output_names: str | Sequence[str],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Record the decorated function as a pipeline; it is not called before there are requests."""
    names = arguments.names_of("output_names", output_names)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        declaration = current_declaration()
        inputs = arguments.input_names(function)
        name = function.__name__
        if name in declaration.methods:
            raise RuntimeError(f"Pipeline {name} has been registered more than once.")
        call = FunctionCall(f"{declaration.servable}.{name}", function, None, is_pipeline=True)
        sources = tuple(Source(METHOD_INPUTS, index) for index in range(len(inputs)))
        stage = Stage(call, sources, len(names), _TAG)
        outputs = tuple(Source(0, index) for index in range(len(names)))
        graph = StageGraph(len(inputs), (stage,), outputs)
        declaration.methods[name] = Method(name, inputs, names, graph)
        return function

    return register
