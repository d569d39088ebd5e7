"""Records what a servable_config.py declares while it is imported.

``mindspore_serving.server.register`` calls the functions here; ``load_servable``
is what a worker calls. Checks and messages follow the original's register module.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared import declaration_arguments as arguments
from shared.builtin_functions import BUILTIN_FUNCTIONS
from shared.config_import import import_config
from shared.declaration_state import Declaration, Tracing, current_declaration, declaring
from shared.errors import LoadFailed
from shared.model_calls import call_model
from shared.servable import Batching, Method, ModelOptions, ModelSpec, Servable
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Stage, StageGraph
from shared.stage_usage import Usage

_NO_OPTIONS, _AS_SETTINGS_SAY = ModelOptions(), Batching()


@dataclass(frozen=True, slots=True)
class Model:
    """What ``declare_model`` returns: usable as a stage, and callable inside stage functions."""

    model_key: str

    def call(self, *args: Any, subgraph: int = 0) -> Any:
        """Execute the model inside a stage function, batched with what others call.

        args: the inputs of one instance: gives its outputs, a tuple when there are several.
        Or one list or tuple of instances, each a list or tuple: gives a tuple of tuples.
        Inputs are what a stage may return. Raises RuntimeError when the model refuses or fails.
        """
        return call_model(self.model_key, args, subgraph)


def declare_model(
    model_file: str | Sequence[str],
    model_format: str,
    *,
    with_batch_dim: bool,
    without_batch_dim_inputs: int | Sequence[int] | None,
    options: ModelOptions = _NO_OPTIONS,
    batching: Batching = _AS_SETTINGS_SAY,
) -> Model:
    """Record a model; raises RuntimeError in the original's words."""
    declaration = current_declaration()
    models = declaration.models
    arguments.check_flag("with_batch_dim", with_batch_dim)
    if any(model.distribution for model in models.values()):
        raise RuntimeError(
            "Declare model failed, servable has already been declared as distributed servable"
        )
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
    _check_config_file(declaration, key, options.config_file)
    models[key] = ModelSpec(key, files, known_format, with_batch_dim, unbatched, options, batching)
    return Model(key)


def _check_config_file(declaration: Declaration, key: str, file: str) -> None:
    if file and declaration.folder and not (declaration.folder / file).is_file():
        raise RuntimeError(
            f"Declare model {key} failed, config file '{file}' does not exist in the folder of"
            f" servable '{declaration.servable}'"
        )


def add_stage(
    stage: Callable[..., Any] | Model | str,
    *args: Any,
    outputs_count: int,
    batch_size: int | None,
    tag: str | None,
) -> Any:
    """Record a stage of the method being traced; gives its output placeholders."""
    declaration = current_declaration()
    tracing = declaration.method_being_traced("add_stage")
    tracing.old_calls.note_stage(tracing.method)
    if tag is not None:
        arguments.check_text("tag", tag)
    if isinstance(stage, Model):
        return add_model_stage(
            declaration, tracing, ModelCall(stage.model_key), args, outputs_count, tag
        )
    return add_function_stage(declaration, tracing, stage, args, outputs_count, batch_size, tag)


def add_model_stage(
    declaration: Declaration,
    tracing: Tracing,
    call: ModelCall,
    args: Sequence[Any],
    outputs_count: int,
    tag: str | None = None,
) -> Any:
    """Record a model's subgraph as the next stage."""
    inputs = tuple(tracing.sources(args, "Each value of parameter *args"))
    arguments.check_count("outputs_count", outputs_count, at_least=1)
    if call.model not in declaration.models:
        raise RuntimeError(
            f"{_wrong_stage(tracing.method)}, but the model '{call.model}' is not declared"
        )
    if declaration.models[call.model].language is not None:
        raise RuntimeError(
            f"{_wrong_stage(tracing.method)}, but '{call.model}' is a language model, which"
            " continues texts and is no stage"
        )
    declaration.usages.check_model(call, Usage(len(inputs), outputs_count))
    subgraph = f", subgraph {call.subgraph}" if call.subgraph else ""
    name = tag or f"Model '{call.model}'{subgraph}"
    return _append(tracing, Stage(call, inputs, outputs_count, name))


def add_function_stage(
    declaration: Declaration,
    tracing: Tracing,
    stage: object,
    args: Sequence[Any],
    outputs_count: int,
    batch_size: int | None,
    tag: str | None,
) -> Any:
    """Record a Python function, or the name of a builtin one, as the next stage."""
    inputs = tuple(tracing.sources(args, "Each value of parameter *args"))
    arguments.check_count("outputs_count", outputs_count, at_least=1)
    if isinstance(stage, str):
        call = _builtin_call(tracing.method, stage, Usage(len(inputs), outputs_count))
    elif callable(stage):
        if batch_size is not None:
            arguments.check_count("batch_size", batch_size, at_least=0)
        usage = Usage(len(inputs), outputs_count, batched=batch_size is not None)
        call = _function_call(declaration, tracing.method, stage, usage, batch_size)
    else:
        raise RuntimeError(f"{_wrong_stage(tracing.method)}, now is {type(stage)}")
    return _append(tracing, Stage(call, inputs, outputs_count, tag or f"Function '{call.name}'"))


def _append(tracing: Tracing, stage: Stage) -> Any:
    tracing.stages.append(stage)
    outputs = tracing.placeholders(len(tracing.stages) - 1, stage.outputs_count)
    return outputs[0] if stage.outputs_count == 1 else outputs


def _wrong_stage(method: str) -> str:
    return (
        f"Check failed in method '{method}', the parameter 'stage' of add_stage must be function"
        " or Model returned by declare_model"
    )


def _builtin_call(method: str, name: str, usage: Usage) -> FunctionCall:
    function = BUILTIN_FUNCTIONS.get(name)
    if function is None:
        raise RuntimeError(f"{_wrong_stage(method)}, there is no builtin function '{name}'")
    for what, count in (("input", usage.inputs), ("output", usage.outputs)):
        if count != 1:
            raise RuntimeError(
                f"function {name} {what} args count 1 not match the count {count} registered in"
                " method"
            )
    return FunctionCall(name, function, None)


def _function_call(
    declaration: Declaration,
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
    *,
    timeout_seconds: float | None = None,
    max_timeout_seconds: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Trace the decorated function once and record it as a method."""
    names = arguments.names_of("output_names", output_names)
    arguments.check_timeouts(timeout_seconds, max_timeout_seconds)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        declaration = current_declaration()
        input_names = arguments.input_names(function)
        graph = _trace(declaration, function, len(input_names), len(names))
        name = function.__name__
        if name in declaration.methods:
            raise RuntimeError(f"Method {name} has been registered more than once.")
        declaration.methods[name] = Method(
            name, input_names, names, graph, timeout_seconds, max_timeout_seconds
        )
        return function

    return register


def _trace(
    declaration: Declaration, function: Callable[..., Any], inputs_count: int, outputs_count: int
) -> StageGraph:
    outer = declaration.tracing
    tracing = declaration.tracing = Tracing(function.__name__, function, outputs_count)
    try:
        returned = function(*tracing.placeholders(METHOD_INPUTS, inputs_count))
    finally:
        declaration.tracing = outer
    tracing.old_calls.check_complete()
    values = returned if isinstance(returned, tuple | list) else (returned,)
    outputs = tuple(tracing.sources(values, "Each value returned"))
    if len(outputs) != outputs_count:
        raise RuntimeError(
            f"Method return output size {len(outputs)} not match registered {outputs_count}"
        )
    return StageGraph(inputs_count, tuple(tracing.stages), outputs)


def load_servable(directory: Path, name: str) -> Servable:
    """Import ``directory/name/servable_config.py`` and return what it declared.

    Every call imports it afresh; any thread may call. ``directory`` stays importable,
    so that stage functions can import what lies beside them at run time.
    Raises LoadFailed naming the servable and the cause.
    """
    with declaring(name, directory / name) as declaration:
        import_config(directory, name)
    if not declaration.methods and not any(each.language for each in declaration.models.values()):
        raise LoadFailed(f"There is no method registered for servable '{name}'")
    return Servable(name, declaration.methods, declaration.models)
