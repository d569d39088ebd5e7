"""Records what a servable_config.py declares while it is imported.

``mindspore_serving.server.register`` calls the functions here; ``load_servable``
is what a worker calls. Checks and messages follow the original's register module.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import LoadFailed
from shared.servable import Method, ModelSpec, Servable
from shared.stage_graph import METHOD_INPUTS, FunctionCall, ModelCall, Source, Stage, StageGraph

MODEL_FORMATS = frozenset({"mindir", "mindir_opt", "mindir_lite", "om", "reference"})
_NOT_A_PLACEHOLDER = (
    "is a placeholder for data and must come from the method inputs or the outputs of add_stage"
)


class _TensorDef:
    """Stands for a value while a method is traced."""

    def __init__(self, source: Source) -> None:
        self.source = source


@dataclass(frozen=True, slots=True)
class Model:
    """What ``declare_model`` returns: usable as a stage."""

    model_key: str


@dataclass(slots=True)
class _Declaration:
    """Everything one servable_config.py has declared so far."""

    servable: str
    methods: dict[str, Method] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    tracing: str = ""
    stages: list[Stage] = field(default_factory=list)


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
    declaration = _declaration()
    files = (model_file,) if isinstance(model_file, str) else tuple(model_file)
    if not files or not all(files):
        raise RuntimeError("Declare model failed, model file cannot be empty")
    if model_format.lower() not in MODEL_FORMATS:
        raise RuntimeError("model format can only be OM, MindIR or MindIR_Lite, case ignored")
    for spec in declaration.models.values():
        for file in files:
            if file in spec.files:
                raise RuntimeError(
                    f"Declare model {model_file} failed, model file '{file}' has already been used"
                )
    unbatched = without_batch_dim_inputs
    key = ";".join(files)
    declaration.models[key] = ModelSpec(
        key=key,
        files=files,
        format=model_format.lower(),
        with_batch_dim=with_batch_dim,
        without_batch_dim_inputs=(unbatched,)
        if isinstance(unbatched, int)
        else tuple(unbatched or ()),
    )
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
    inputs = tuple(_sources(args, "Each value of parameter *args"))
    call: FunctionCall | ModelCall
    if isinstance(stage, Model):
        call, name = ModelCall(stage.model_key), f"Model '{stage.model_key}'"
    elif callable(stage):
        function = getattr(stage, "__name__", type(stage).__name__)
        call, name = _function_call(declaration, stage, function, len(inputs), batch_size)
    else:
        raise RuntimeError(
            f"Check failed in method '{declaration.tracing}', the parameter 'stage' of add_stage"
            f" must be function or Model returned by declare_model, but actually {type(stage)}"
        )
    index = len(declaration.stages)
    declaration.stages.append(Stage(call, inputs, outputs_count, tag or name))
    outputs = tuple(_TensorDef(Source(index, n)) for n in range(outputs_count))
    return outputs[0] if outputs_count == 1 else outputs


def _function_call(
    declaration: _Declaration,
    stage: Callable[..., Any],
    name: str,
    inputs_count: int,
    batch_size: int | None,
) -> tuple[FunctionCall, str]:
    if batch_size is not None and batch_size < 0:
        raise RuntimeError("Parameter 'batch_size' should be >= 0")
    if batch_size is None:
        count = len(inspect.signature(stage).parameters)
        if count != inputs_count:
            raise RuntimeError(
                f"function {name} input args count {count} not match the count {inputs_count}"
                " registered in method"
            )
    full_name = f"{declaration.servable}.{name}"
    return FunctionCall(full_name, stage, batch_size), f"Function '{full_name}'"


def register_method(
    output_names: str | Sequence[str],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Trace the decorated function once and record it as a method."""
    names = (output_names,) if isinstance(output_names, str) else tuple(output_names)

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        declaration = _declaration()
        name = function.__name__
        if name in declaration.methods:
            raise RuntimeError(f"Method {name} has been registered more than once.")
        input_names = _input_names(function)
        declaration.tracing, declaration.stages = name, []
        returned = function(
            *(_TensorDef(Source(METHOD_INPUTS, n)) for n in range(len(input_names)))
        )
        values = returned if isinstance(returned, tuple | list) else (returned,)
        outputs = tuple(_sources(values, "Each value returned"))
        if len(outputs) != len(names):
            raise RuntimeError(
                f"Method return output size {len(outputs)} not match registered {len(names)}"
            )
        graph = StageGraph(len(input_names), tuple(declaration.stages), outputs)
        declaration.methods[name] = Method(name, input_names, names, graph)
        return function

    return register


def _input_names(function: Callable[..., Any]) -> tuple[str, ...]:
    kinds = inspect.Parameter
    forbidden = {
        kinds.VAR_POSITIONAL: "VAR_POSITIONAL",
        kinds.VAR_KEYWORD: "VAR_KEYWORD",
        kinds.KEYWORD_ONLY: "KEYWORD_ONLY",
    }
    parameters = inspect.signature(function).parameters
    for name, parameter in parameters.items():
        if parameter.kind in forbidden:
            raise RuntimeError(
                f"'{function.__name__}' input {name} cannot be {forbidden[parameter.kind]} !"
            )
    return tuple(parameters)


def _sources(values: Iterable[Any], subject: str) -> Iterator[Source]:
    for value in values:
        if not isinstance(value, _TensorDef):
            raise RuntimeError(f"{subject} {_NOT_A_PLACEHOLDER}")
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

    Raises LoadFailed naming the servable and the cause.
    """
    module = f"{name}.servable_config"
    sys.path.insert(0, str(directory))
    try:
        with _declaring(name) as declaration:
            for loaded in [each for each in sys.modules if each in (name, module)]:
                del sys.modules[loaded]
            importlib.import_module(module)
    except Exception as failure:
        raise LoadFailed(
            f"import {module} failed, {type(failure).__name__}: {failure}"
        ) from failure
    finally:
        sys.path.remove(str(directory))
    if not declaration.methods:
        raise LoadFailed(f"There is no method registered for servable '{name}'")
    return Servable(name, declaration.methods, declaration.models)
