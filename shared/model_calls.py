"""``Model.call`` inside a stage function: how its arguments are read, and who answers.

The original's ``Model.call`` (mindspore_serving.server.register): one instance as
``call(x1, x2)``, several as ``call([[x1, x2], [x3, x4]])``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

from shared.tensors import Array

_FORMS = "the inputs can be call(x1, x2) for one instance or call([[x1, x2], [x3, x4]]) for several"


class ModelCaller(Protocol):
    """Whoever executes models for the stage function that runs now."""

    def call(
        self, model: str, subgraph: int, instances: Sequence[Sequence[Any]]
    ) -> list[tuple[Array, ...]]:
        """The outputs of each instance; blocks. Raises RuntimeError."""


_caller: ContextVar[ModelCaller | None] = ContextVar("model caller", default=None)


@contextmanager
def calls_answered_by(caller: ModelCaller) -> Iterator[None]:
    """Calls of this thread go to ``caller`` while inside."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def call_model(key: str, args: Sequence[Any], subgraph: int) -> Any:
    """What ``Model.call`` returns.

    Of one instance its output, or a tuple of its outputs; of several a tuple of tuples.
    Raises RuntimeError in the original's words.
    """
    caller = _caller.get()
    if caller is None:
        raise RuntimeError(
            f"Model({key}).call() failed: it can only be called in a stage function"
            " while that serves a request"
        )
    if isinstance(subgraph, bool) or not isinstance(subgraph, int):
        raise RuntimeError(f"Parameter 'subgraph' should be int, but actually {type(subgraph)}")
    if not args:
        raise RuntimeError(f"Model({key}).call() failed: no inputs provided, {_FORMS}")
    if len(args) > 1 or not isinstance(args[0], list | tuple):
        if any(isinstance(each, list | tuple) for each in args):
            raise _invalid(key)
        (outputs,) = _asked(caller, key, subgraph, [args])
        return outputs[0] if len(outputs) == 1 else outputs
    instances = args[0]
    if not instances:
        raise RuntimeError(f"Model({key}).call() failed: Input instances count is 0")
    if not all(isinstance(each, list | tuple) for each in instances):
        raise _invalid(key)
    return tuple(_asked(caller, key, subgraph, instances))


def _asked(
    caller: ModelCaller, key: str, subgraph: int, instances: Sequence[Sequence[Any]]
) -> list[tuple[Array, ...]]:
    try:
        return caller.call(key, subgraph, instances)
    except RuntimeError as failure:
        raise RuntimeError(f"Model({key}).call() failed: {failure}") from failure


def _invalid(key: str) -> RuntimeError:
    return RuntimeError(f"Model({key}).call() failed: inputs format invalid, {_FORMS}")
