"""The only place tasks are born: every task has a scope that ends it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

Result = TypeVar("Result")


class TaskScope:
    """Starts tasks that never outlive the ``async with task_scope()`` around them."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, Result], *, name: str) -> asyncio.Task[Result]:
        """Run ``coroutine`` as a task of this scope; its failure ends the scope.

        Raises RuntimeError when the scope is ending.
        """
        try:
            task = self._group.create_task(coroutine, name=name)
        except RuntimeError:
            # It never begins, and would say so when the interpreter ends.
            coroutine.close()
            raise
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel_all(self) -> None:
        """Ask every task of this scope to stop."""
        for task in self._tasks:
            task.cancel()


@asynccontextmanager
async def task_scope() -> AsyncIterator[TaskScope]:
    """Own tasks: on leaving they are cancelled and awaited.

    A task that fails ends the body and its siblings; its own exception comes
    out, not an ExceptionGroup around it. Cancelling the owner wins over failures
    of its tasks at the same moment: TaskGroup forgets the cancellation until
    Python 3.13, and the owner would live on.
    """
    owner = asyncio.current_task()
    assert owner is not None
    cancelling = owner.cancelling()
    try:
        async with asyncio.TaskGroup() as group:
            scope = TaskScope(group)
            try:
                yield scope
            finally:
                scope.cancel_all()
    except BaseExceptionGroup as failures:
        if owner.cancelling() > cancelling:
            raise asyncio.CancelledError from None
        raise _first_leaf(failures) from None


def _first_leaf(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    first = failures.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first
