"""Lets stage functions call models: from their thread to the event loop and back."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol

import numpy as np

from services.worker.instances import Outcome, Values
from services.worker.stages.values import UnusableResult, value_of
from shared.deadline import Deadline
from shared.errors import ServingError
from shared.model_calls import Instances
from shared.stage_graph import ModelCall
from shared.tasks import TaskScope
from shared.tensors import Value


class ModelRunner(Protocol):
    """Whoever executes models."""

    def check(self, call: ModelCall, where: str) -> None:
        """Raises InvalidRequest for a model or subgraph that is not there."""

    async def run(
        self, call: ModelCall, where: str, instances: Sequence[Values], deadline: Deadline | None
    ) -> list[Outcome]:
        """An outcome for each instance."""


class ModelCalls:
    """What the functions of one stage call models with, until it is closed."""

    def __init__(self, models: ModelRunner, deadline: Deadline | None, scope: TaskScope) -> None:
        self._loop = asyncio.get_running_loop()
        self._models = models
        self._deadline = deadline
        self._scope = scope
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def call(self, call: ModelCall, where: str, instances: Instances) -> list[tuple[Any, ...]]:
        """See ``shared.model_calls``; waits, so it is for stage threads only."""
        try:
            self._models.check(call, where)
            rows = [tuple(value_of(value) for value in instance) for instance in instances]
        except UnusableResult as failure:
            raise RuntimeError(f"{where}inputs format invalid, {failure}") from None
        except ServingError as failure:
            raise RuntimeError(failure.message) from None
        answer: Future[list[Outcome]] = Future()
        self._loop.call_soon_threadsafe(self._begin, call, where, rows, answer)
        try:
            return [_outputs(where, outcome) for outcome in answer.result()]
        except CancelledError:
            raise RuntimeError(f"{where}its caller has left") from None

    def close(self) -> None:
        """The stage is over: a function that still runs gets no more answers."""
        self._closed = True
        for task in self._tasks:
            task.cancel()

    def _begin(
        self, call: ModelCall, where: str, rows: Sequence[Values], answer: Future[list[Outcome]]
    ) -> None:
        if self._closed:
            answer.cancel()
            return
        running = self._run(call, where, rows, answer)
        try:
            task = self._scope.spawn(running, name=f"call of {call.model}")
        except RuntimeError:  # the worker is ending
            running.close()
            answer.cancel()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # A task that was cancelled, perhaps before it began, has left no answer.
        task.add_done_callback(lambda _: answer.cancel())

    async def _run(
        self, call: ModelCall, where: str, rows: Sequence[Values], answer: Future[list[Outcome]]
    ) -> None:
        try:
            answer.set_result(await self._models.run(call, where, rows, self._deadline))
        except ServingError as failure:
            answer.set_result([failure] * len(rows))
        except Exception as failure:
            answer.set_exception(failure)


def _outputs(where: str, outcome: Outcome) -> tuple[Value, ...]:
    if isinstance(outcome, ServingError):
        raise RuntimeError(where + outcome.message.removeprefix(where))
    return tuple(
        value.copy() if isinstance(value, np.ndarray) and not value.flags.writeable else value
        for value in outcome
    )
