"""(pure) How a stage function is called for its instances, and what it may give back."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from services.worker.instances import Outcome, Values
from services.worker.stages.values import UnusableValue, value_of
from shared.errors import StageFailed, text_of
from shared.stage_graph import FunctionCall, Stage


def outcomes_in_chunks(
    stage: Stage, call: FunctionCall, where: str, instances: Sequence[Values]
) -> Iterator[list[Outcome]]:
    """Call a stage function for every instance, each alone or in chunks as declared.

    Gives the outcomes of each chunk in order. A failure is an outcome of the instances it
    concerns, never an exception; ``where`` begins its text.
    """
    if call.batch_size is None:
        for instance in instances:
            yield [_call_once(stage, call.function, where, instance)]
        return
    size = chunk_size(call.batch_size, len(instances))
    done = 0
    while done < len(instances):
        outcomes = _call_chunk(stage, call.function, where, instances[done : done + size])
        done += len(outcomes)
        yield outcomes


def chunk_size(batch_size: int | None, count: int) -> int:
    """How many of ``count`` instances one call of the function gets at most."""
    return 1 if batch_size is None else batch_size or count


def call_function(
    stage: Stage, call: FunctionCall, where: str, instances: Sequence[Values]
) -> list[Outcome]:
    """The outcomes of all chunks."""
    chunks = outcomes_in_chunks(stage, call, where, instances)
    return [outcome for chunk in chunks for outcome in chunk]


def _call_once(stage: Stage, function: Callable[..., Any], where: str, instance: Values) -> Outcome:
    try:
        return _outputs(function(*instance), stage.outputs_count)
    except BaseException as failure:
        return _failed(where, failure)


def _call_chunk(
    stage: Stage, function: Callable[..., Any], where: str, chunk: Sequence[Values]
) -> list[Outcome]:
    """At least one outcome; those after a generator's failure are left to the next call."""
    outcomes: list[Outcome] = []
    try:
        results = _iterate(function(list(chunk)))
    except BaseException as failure:
        return [_failed(where, failure)] * len(chunk)
    while len(outcomes) < len(chunk):
        try:
            outcomes.append(_outputs(next(results), stage.outputs_count))
        except StopIteration:
            reason = f"{len(outcomes)} results for {len(chunk)} instances"
            missing = StageFailed(f"{where}{reason}")
            outcomes += [missing] * (len(chunk) - len(outcomes))
        except UnusableValue as failure:
            outcomes.append(_failed(where, failure))
        except BaseException as failure:
            outcomes.append(_failed(where, failure))
            break
    return outcomes


def _iterate(results: Any) -> Iterator[Any]:
    if isinstance(results, Iterator):
        return results
    if isinstance(results, list | tuple):
        return iter(results)
    raise UnusableValue(f"expected a list, tuple or generator, got {type(results).__name__}")


def _outputs(result: Any, count: int) -> Values:
    """What a function returned for one instance, as ``count`` values."""
    several = isinstance(result, tuple | list)
    results = result if several else (result,)
    if len(results) != count:
        raise UnusableValue(f"expected {count} outputs, got {len(results)}")
    return tuple(value_of(each) for each in results)


def _failed(where: str, failure: BaseException) -> StageFailed:
    """What a function raised, were it ``SystemExit``: it may end no more than its instance."""
    kind = "" if isinstance(failure, UnusableValue) else f"{type(failure).__name__}: "
    return StageFailed(f"{where}{kind}{text_of(failure)}")
