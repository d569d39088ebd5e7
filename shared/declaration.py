"""Records what a servable_config.py declares while it is imported.

``mindspore_serving.server.register`` calls the functions here; ``load_servable``
is what a worker calls. Checks and messages follow the original's register module.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared import declaration_arguments as arguments
from shared.config_import import import_config
from shared.errors import LoadFailed
from shared.model_calls import call_model
from shared.servable import Method, ModelSpec, Servable
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph
from shared.stage_usage import StageUsages, Usage


@dataclass(frozen=True, slots=True)
class Model:
    """What ``declare_model`` returns: usable as a stage, and callable inside stage functions."""

    model_key: str

    def call(self, *args: Any, subgraph: int = 0) -> Any:
        """Execute the model for one instance, or for several; see ``shared.model_calls``."""
        return call_model(self.model_key, args, subgraph)


@dataclass(slots=True, eq=False)
class _Tracing:
    """The method that is being traced."""

    method: str
    stages: list[Stage] = field(default_factory=list)


class _TensorDef:
    """Stands for a value while a method is traced."""

    def __init__(self, tracing: _Tracing, source: Source) -> None:
        self.tracing = tracing
        self.source = source


@dataclass(slots=True)
class _Declaration:
    """Everything one servable_config.py has declared so far."""

    servable: str
    methods: dict[str, Method] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    usages: StageUsages = field(default_factory=StageUsages)
    tracing: _Tracing | None = None


_current: ContextVar[_Declaration | None] = ContextVar("declaration", default=None)


def _declaration() -> _Declaration:
    declaration = _current.get()
    if declaration is None:
        # The file is run by hand or by a tool: let it declare into the void.
        declaration = _Declaration("servable")
        _current.set(declaration)
    return declaration


def declare_model(
    model_file: str | Sequence[str],
    model_format: str,
    *,
    with_batch_dim: bool,
    without_batch_dim_inputs: int | Sequence[int] | None,
) -> Model:
    """Record a model; raises RuntimeError in the original's words."""
    models = _declaration().models
    arguments.check_flag("with_batch_dim", with_batch_dim)
    files = arguments.model_files_of(model_file)
    unbatched = arguments.indices_of("without_batch_dim_inputs", without_batch_dim_inputs)
    known_format = arguments.model_format_of(model_format)
    key = ";".join(files)
    used = {file for model in models.values() for file in model.files}
    for file in files:
        if file in used:
            raise RuntimeError(
                f"Declare model {key} failed, model file '{file}' has already been used"
            )
    if key in models:
        raise RuntimeError(f"Declare model {key} failed, the same model has already been declared")
    models[key] = ModelSpec(key, files, known_format, with_batch_dim, unbatched)
    return Model(key)


def add_stage(
    stage: Callable[..., Any] | Model,
    *args: Any,
    outputs_count: int,
    batch_size: int | None,
    tag: str | None,
) -> Any:
    """Record a stage of the method being traced; gives its output placeholders."""
    declaration = _declaration()
    tracing = declaration.tracing
    if tracing is None:
        raise RuntimeError("add_stage can only be called in a function given to register_method")
    if tag is not None:
        arguments.check_text("tag", tag)
    inputs = tuple(_sources(tracing, args, "Each value of parameter *args"))
    arguments.check_count("outputs_count", outputs_count, at_least=1)
    call: FunctionCall | ModelCall
    if isinstance(stage, Model):
        usage = Usage(len(inputs), outputs_count)
        call = _model_call(declaration, tracing.method, stage.model_key, usage)
        name = f"Model '{call.model}'"
    elif callable(stage):
        if batch_size is not None:
            arguments.check_count("batch_size", batch_size, at_least=0)
        usage = Usage(len(inputs), outputs_count, batched=batch_size is not None)
        call = _function_call(declaration, tracing.method, stage, usage, batch_size)
        name = f"Function '{call.name}'"
    else:
        raise RuntimeError(f"{_wrong_stage(tracing.method)}, now is {type(stage)}")
    index = len(tracing.stages)
    tracing.stages.append(Stage(call, inputs, outputs_count, tag or name))
    outputs = tuple(_TensorDef(tracing, Source(index, n)) for n in range(outputs_count))
    return outputs[0] if outputs_count == 1 else outputs


def _wrong_stage(method: str) -> str:
    return (
        f"Check failed in method '{method}', the parameter 'stage' of add_stage must be function"
        " or Model returned by declare_model"
    )


def _model_call(declaration: _Declaration, method: str, key: str, usage: Usage) -> ModelCall:
    if key not in declaration.models:
        raise RuntimeError(f"{_wrong_stage(method)}, but the model '{key}' is not declared")
    declaration.usages.check_model(key, usage)
    return ModelCall(key)


def _function_call(
    declaration: _Declaration,
    method: str,
    function: Callable[..., Any],
    usage: Usage,
    batch_size: int | None,
) -> FunctionCall:
    name = getattr(function, "__name__", type(function).__name__)
    full_name = f"{declaration.servable}.{name}"
    if not usage.batched:
        arguments.check_stage_function(function, name, usage.inputs)
    declaration.usages.check_function(function, full_name, method, usage)
    if usage.batched:
        arguments.check_batch_function(function, name)
    return FunctionCall(full_name, function, batch_size)


def register_method(
    output_names: str | Sequence[str],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Trace the decorated function once and record it as a method."""
    names = arguments.names_of("output_names", output_names)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        declaration = _declaration()
        input_names = arguments.input_names(function)
        graph = _trace(declaration, function, len(input_names), len(names))
        name = function.__name__
        if name in declaration.methods:
            raise RuntimeError(f"Method {name} has been registered more than once.")
        declaration.methods[name] = Method(name, input_names, names, graph)
        return function

    return register


def _trace(
    declaration: _Declaration, function: Callable[..., Any], inputs_count: int, outputs_count: int
) -> StageGraph:
    outer, declaration.tracing = declaration.tracing, _Tracing(function.__name__)
    tracing = declaration.tracing
    try:
        returned = function(
            *(_TensorDef(tracing, Source(METHOD_INPUTS, n)) for n in range(inputs_count))
        )
    finally:
        declaration.tracing = outer
    values = returned if isinstance(returned, tuple | list) else (returned,)
    outputs = tuple(_sources(tracing, values, "Each value returned"))
    if len(outputs) != outputs_count:
        raise RuntimeError(
            f"Method return output size {len(outputs)} not match registered {outputs_count}"
        )
    return StageGraph(inputs_count, tuple(tracing.stages), outputs)


def _sources(tracing: _Tracing, values: Iterable[Any], subject: str) -> Iterator[Source]:
    for value in values:
        if not isinstance(value, _TensorDef) or value.tracing is not tracing:
            raise RuntimeError(
                f"{subject} is a placeholder for data and must come from the method inputs or the"
                " outputs of add_stage"
            )
        yield value.source


@contextmanager
def _declaring(name: str) -> Iterator[_Declaration]:
    declaration = _Declaration(name)
    token = _current.set(declaration)
    try:
        yield declaration
    finally:
        _current.reset(token)


def load_servable(directory: Path, name: str) -> Servable:
    """Import ``directory/name/servable_config.py`` and return what it declared.

    Every call imports it afresh; any thread may call. ``directory`` stays importable,
    so that stage functions can import what lies beside them at run time.
    Raises LoadFailed naming the servable and the cause.
    """
    with _declaring(name) as declaration:
        import_config(directory, name)
    if not declaration.methods:
        raise LoadFailed(f"There is no method registered for servable '{name}'")
    return Servable(name, declaration.methods, declaration.models)
