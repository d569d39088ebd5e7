"""What a function on a thread asks of the event loop, answered as long as somebody waits for it."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from shared.tasks import TaskScope

Answer = TypeVar("Answer")


class ThreadCalls:
    """The calls of one run of a function; made in the event loop.

    ``what`` names what is called, in the texts of those that come too late.
    """

    def __init__(self, scope: TaskScope, what: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._scope = scope
        self._what = what
        self._calls: set[asyncio.Task[None]] = set()
        self._over = False

    def ask(self, begin: Callable[[], Coroutine[Any, Any, Answer]], name: str) -> Answer:
        """Run a coroutine as a task called ``name`` and wait, on the thread, for what it gives."""
        answer: Future[Answer] = Future()
        self._loop.call_soon_threadsafe(self._begin, answer, begin, name)
        # Always answered: by the task, or when the run ends.
        return answer.result()

    def _begin(
        self, answer: Future[Answer], begin: Callable[[], Coroutine[Any, Any, Answer]], name: str
    ) -> None:
        if self._over:
            answer.set_exception(
                RuntimeError(f"the request ended before the {self._what} was called")
            )
            return
        task = self._scope.spawn(_answer(answer, begin()), name=name)
        self._calls.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, answer))

    def _ended(self, task: asyncio.Task[None], answer: Future[Answer]) -> None:
        self._calls.discard(task)
        if not answer.done():
            answer.set_exception(
                RuntimeError(f"the request ended while its {self._what} was called")
            )

    def close(self) -> None:
        """Nobody waits for the function any more: end its calls, and refuse further ones."""
        self._over = True
        for task in self._calls:
            task.cancel()


async def _answer(answer: Future[Answer], running: Coroutine[Any, Any, Answer]) -> None:
    try:
        answer.set_result(await running)
    except Exception as failure:
        answer.set_exception(failure)
