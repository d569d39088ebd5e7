"""Runs pipelines on threads of their own, and hands every other function on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.worker.instances import Outcome, Values, as_given
from services.worker.stages.chunks import call_function
from services.worker.stages.functions import FunctionStages
from services.worker.stages.paces import Paces
from services.worker.stages.pool import StageProcesses
from services.worker.stages.thread_calls import ThreadCalls
from services.worker.stages.values import UnusableValue, value_of
from services.worker.stages.work import StageWork
from shared.errors import ServingError
from shared.method_calls import CalledMethod, methods_called_by
from shared.servable import ServableVersion
from shared.tasks import TaskScope, task_scope
from shared.tensors import Value
from shared.urgency import Urgency

RunMethod = Callable[
    [ServableVersion, CalledMethod, Sequence[Values], Urgency],
    Awaitable[list[Outcome]],
]
"""Run a method for a pipeline of that version: an outcome for each instance, or a ServingError."""


class Pipelines:
    """A bounded set of threads for pipelines, each of which runs one instance.

    A pipeline holds its thread while methods work for it. Those threads run nothing else, so
    pipelines never keep the functions of their own methods waiting. The rows of all that run
    at a time share batches.
    """

    def __init__(
        self,
        threads: int,
        scope: TaskScope,
        functions: FunctionStages | StageProcesses,
        run_method: RunMethod,
    ) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pipeline")
        self._scope = scope
        self._functions = functions
        self._run_method = run_method

    @property
    def paces(self) -> Paces:
        """How long functions take."""
        return self._functions.paces

    def run(
        self, work: StageWork, instances: Sequence[Values]
    ) -> Coroutine[Any, Any, list[Outcome]]:
        """An outcome for each instance, in order: see ``functions.FunctionStages``."""
        if work.call.is_pipeline:
            return self._run_all(work, instances)
        return self._functions.run(work, instances)

    async def _run_all(self, work: StageWork, instances: Sequence[Values]) -> list[Outcome]:
        async with task_scope() as scope:
            running = [
                scope.spawn(self._run_one(work, each), name=work.place.method) for each in instances
            ]
            return await asyncio.gather(*running)

    async def _run_one(self, work: StageWork, instance: Values) -> Outcome:
        what = work.place.what
        caller = _PipelineCaller(self._scope, self._run_method, what, work.urgency)

        def run() -> Outcome:
            with methods_called_by(caller):
                (outcome,) = call_function(work.stage, work.call, work.where, [instance])
            return outcome

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run)
        finally:
            caller.close()

    def close(self) -> None:
        """Start nothing more. A pipeline that never returns is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class _PipelineCaller:
    """Answers the calls of one run of a pipeline."""

    def __init__(
        self,
        scope: TaskScope,
        run_method: RunMethod,
        what: ServableVersion,
        urgency: Urgency,
    ) -> None:
        self._calls = ThreadCalls(scope, "method")
        self._run_method = run_method
        self._what = what
        self._urgency = urgency

    def call(
        self, called: CalledMethod, instances: Sequence[Sequence[Any]]
    ) -> list[tuple[Any, ...]]:
        """See ``shared.method_calls.MethodCaller``: called on the pipeline's thread."""
        try:
            rows = [tuple(map(value_of, instance)) for instance in instances]
        except UnusableValue as failure:
            raise RuntimeError(str(failure)) from failure
        return self._calls.ask(lambda: self._run(called, rows), f"call of {called.method}")

    async def _run(self, called: CalledMethod, rows: list[Values]) -> list[tuple[Any, ...]]:
        deadline = self._urgency.deadline
        try:
            async with asyncio.timeout_at(deadline.at if deadline else None):
                outcomes = await self._run_method(self._what, called, rows, self._urgency)
        except TimeoutError:
            raise RuntimeError("the deadline passed while waiting for the method") from None
        except ServingError as failure:
            raise RuntimeError(failure.message) from failure
        return [_outputs(each) for each in outcomes]

    def close(self) -> None:
        """Nobody waits for the pipeline any more: end its calls, and refuse further ones."""
        self._calls.close()


def _outputs(outcome: Outcome) -> tuple[Value, ...]:
    """What a stage function would get: arrays that may be changed."""
    if isinstance(outcome, ServingError):
        raise RuntimeError(outcome.message) from outcome
    return tuple(map(as_given, outcome))
