"""Calls Python stages on threads; what they return becomes values."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from services.worker.instances import Outcome, Values
from services.worker.stages.model_calls import ModelCalls, ModelRunner
from services.worker.stages.values import UnusableResult, value_of
from shared.deadline import Deadline
from shared.errors import StageFailed
from shared.model_calls import with_models
from shared.stage_graph import FunctionCall, Stage
from shared.tasks import TaskScope


class FunctionStages:
    """A bounded set of threads for the Python stages of every servable.

    ``scope`` owns the models' work that functions wait for.
    """

    def __init__(self, threads: int, scope: TaskScope) -> None:
        self._scope = scope
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="stage")

    async def run(
        self,
        stage: Stage,
        call: FunctionCall,
        where: str,
        instances: Sequence[Values],
        models: ModelRunner,
        deadline: Deadline | None,
    ) -> list[Outcome]:
        """An outcome for each instance, in order; ``where`` begins the text of failures.

        Models that a function calls are run by ``models``, until ``deadline``.
        """
        loop = asyncio.get_running_loop()
        calls = ModelCalls(models, deadline, self._scope)
        try:
            return await loop.run_in_executor(
                self._threads, with_models, calls.call, call_function, stage, call, where, instances
            )
        finally:
            calls.close()

    def close(self) -> None:
        """Start nothing more. A function that never returns is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def call_function(
    stage: Stage, call: FunctionCall, where: str, instances: Sequence[Values]
) -> list[Outcome]:
    """Call a stage function for every instance, each alone or in chunks as declared.

    A failure is an outcome of the instances it concerns, never an exception.
    """
    if call.batch_size is None:
        return [_call_once(stage, call.function, where, instance) for instance in instances]
    size = call.batch_size or len(instances)
    outcomes: list[Outcome] = []
    while len(outcomes) < len(instances):
        chunk = instances[len(outcomes) : len(outcomes) + size]
        outcomes += _call_chunk(stage, call.function, where, chunk)
    return outcomes


def _call_once(stage: Stage, function: Callable[..., Any], where: str, instance: Values) -> Outcome:
    try:
        return _outputs(function(*instance), stage.outputs_count)
    except Exception as failure:
        return _failed(where, failure)


def _call_chunk(
    stage: Stage, function: Callable[..., Any], where: str, chunk: Sequence[Values]
) -> list[Outcome]:
    """At least one outcome; those after a generator's failure are left to the next call."""
    outcomes: list[Outcome] = []
    try:
        results = _iterate(function(list(chunk)))
    except Exception as failure:
        return [_failed(where, failure)] * len(chunk)
    while len(outcomes) < len(chunk):
        try:
            outcomes.append(_outputs(next(results), stage.outputs_count))
        except StopIteration:
            reason = f"{len(outcomes)} results for {len(chunk)} instances"
            missing = StageFailed(f"{where}{reason}")
            outcomes += [missing] * (len(chunk) - len(outcomes))
        except UnusableResult as failure:
            outcomes.append(_failed(where, failure))
        except Exception as failure:
            outcomes.append(_failed(where, failure))
            break
    return outcomes


def _iterate(results: Any) -> Iterator[Any]:
    if isinstance(results, Iterator):
        return results
    if isinstance(results, list | tuple):
        return iter(results)
    raise UnusableResult(f"expected a list, tuple or generator, got {type(results).__name__}")


def _outputs(result: Any, count: int) -> Values:
    """What a function returned for one instance, as ``count`` values."""
    several = isinstance(result, tuple | list)
    results = result if several else (result,)
    if len(results) != count:
        raise UnusableResult(f"expected {count} outputs, got {len(results)}")
    return tuple(value_of(each) for each in results)


def _failed(where: str, failure: Exception) -> StageFailed:
    kind = "" if isinstance(failure, UnusableResult) else f"{type(failure).__name__}: "
    return StageFailed(f"{where}{kind}{failure}")
