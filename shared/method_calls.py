"""``PipelineServable.run`` inside a pipeline: how its arguments are read, and who answers.

The pipelines of versions 1.3 and 1.4 (mindspore_serving.server.register): a function that calls
methods of servables, as often and in whatever order it likes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol


class CalledMethod(NamedTuple):
    """A method that a pipeline calls; version 0 is the pipeline's own, or the newest."""

    servable: str
    method: str
    version: int = 0


class MethodCaller(Protocol):
    """Whoever runs methods for the pipeline that runs now."""

    def call(
        self, called: CalledMethod, instances: Sequence[Sequence[Any]]
    ) -> list[tuple[Any, ...]]:
        """The outputs of each instance; blocks. Raises RuntimeError."""


_caller: ContextVar[MethodCaller | None] = ContextVar("method caller", default=None)


@contextmanager
def methods_called_by(caller: MethodCaller) -> Iterator[None]:
    """Calls of this thread go to ``caller`` while inside."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def call_method(called: CalledMethod, args: Sequence[Any]) -> Any:
    """What ``PipelineServable.run`` returns.

    Of one instance its output, or a tuple of its outputs. One list means several instances,
    each its only input or a tuple of its inputs: gives a list of tuples. Raises RuntimeError.
    """
    where = f"PipelineServable({called.servable}.{called.method}).run() failed:"
    caller = _caller.get()
    if caller is None:
        raise RuntimeError(
            f"{where} it can only be called in a pipeline while that serves a request"
        )
    several = len(args) == 1 and isinstance(args[0], list)
    instances = (
        [each if isinstance(each, tuple) else (each,) for each in args[0]] if several else [args]
    )
    if not instances:
        raise RuntimeError(f"{where} Input instances count is 0")
    try:
        results = caller.call(called, instances)
    except RuntimeError as failure:
        raise RuntimeError(f"{where} {failure}") from failure
    if several:
        return results
    (outputs,) = results
    return outputs[0] if len(outputs) == 1 else outputs
