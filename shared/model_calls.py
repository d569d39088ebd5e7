"""How ``Model.call`` in a stage function reaches whoever runs models."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from shared.declaration_arguments import check_count
from shared.stage_graph import ModelCall

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")
Instances = Sequence[Sequence[Any]]

ModelCaller = Callable[[ModelCall, str, Instances], list[tuple[Any, ...]]]
"""Executes a model for instances, the outputs of each in order; the text begins its errors."""

_caller: ContextVar[ModelCaller | None] = ContextVar("model_caller", default=None)


def with_models(
    caller: ModelCaller,
    function: Callable[Parameters, Returned],
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Returned:
    """Call ``function``; whatever model it calls meanwhile goes to ``caller``."""
    token = _caller.set(caller)
    try:
        return function(*args, **kwargs)
    finally:
        _caller.reset(token)


def call_model(key: str, args: Sequence[Any], subgraph: int) -> Any:
    """The outputs of one instance, bare when there is one; of several, a tuple of tuples.

    args: the inputs of one instance, or one list or tuple of instances.
    Raises RuntimeError in the original's words.
    """
    where = f"Model({key}).call() failed: "
    check_count("subgraph", subgraph, at_least=0)
    if not args:
        raise RuntimeError(f"{where}no inputs provided, {_USAGE}")
    several = len(args) == 1 and isinstance(args[0], list | tuple)
    instances = args[0] if several else [args]
    if not instances:
        raise RuntimeError(f"{where}Input instances count is 0")
    if not all(isinstance(instance, list | tuple) for instance in instances):
        raise RuntimeError(f"{where}inputs format invalid, {_USAGE}")
    caller = _caller.get()
    if caller is None:
        raise RuntimeError(
            f"{where}it can only be called in a stage function while a request runs; in a method,"
            " use add_stage"
        )
    outputs = caller(ModelCall(key, subgraph), where, instances)
    if several:
        return tuple(outputs)
    return outputs[0] if len(outputs[0]) > 1 else outputs[0][0]


_USAGE = "use call(x1, x2) for one instance, call([[x1, x2], [x3, x4]]) for several"
