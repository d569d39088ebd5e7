"""Models that a stage function calls while it runs on its thread."""

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from services.worker.instances import Outcome, Values
from services.worker.stages.thread_calls import ThreadCalls
from services.worker.stages.values import UnusableValue, value_of
from shared.errors import ServingError
from shared.stage_graph import ModelCall
from shared.tasks import TaskScope
from shared.tensors import Array, Value
from shared.urgency import Urgency


class Models(Protocol):
    """Whoever executes the models of a servable version."""

    def inputs_count(self, call: ModelCall) -> int:
        """How many inputs one instance has; raises InvalidRequest when there is no such model."""

    async def run(
        self, call: ModelCall, where: str, instances: Sequence[Values], urgency: Urgency
    ) -> list[Outcome]:
        """An outcome for each instance; Refused when nothing of it has begun."""


async def execute(
    models: Models, call: ModelCall, instances: Sequence[Values], urgency: Urgency
) -> list[tuple[Array, ...]]:
    """The outputs of each instance, in arrays that may be changed.

    Its rows wait in the model's queue like any others, and share batches with them. Raises
    RuntimeError, naming the instance where one is at fault.
    """
    try:
        expected = models.inputs_count(call)
        for index, instance in enumerate(instances):
            if len(instance) != expected:
                raise RuntimeError(
                    f"The inputs count {len(instance)} of instance {index} is not equal to the"
                    f" inputs count {expected} of the model"
                )
        deadline = urgency.deadline
        async with asyncio.timeout_at(deadline.at if deadline else None):
            outcomes = await models.run(call, "", instances, urgency)
    except TimeoutError:
        raise RuntimeError("the deadline passed while waiting for the model") from None
    except ServingError as failure:
        raise RuntimeError(failure.message) from failure
    return [_outputs(index, each) for index, each in enumerate(outcomes)]


def _outputs(index: int, outcome: Outcome) -> tuple[Array, ...]:
    if isinstance(outcome, ServingError):
        raise RuntimeError(f"instance {index}: {outcome.message}") from outcome
    return tuple(_array(each) for each in outcome)


def _array(value: Value) -> Array:
    assert isinstance(value, np.ndarray)
    return value if value.flags.writeable else value.copy()


class StageCaller:
    """Answers the calls of one run of a stage function on a thread."""

    def __init__(self, scope: TaskScope, models: Models, urgency: Urgency) -> None:
        self._calls = ThreadCalls(scope, "model")
        self._models = models
        self._urgency = urgency

    def call(
        self, model: str, subgraph: int, instances: Sequence[Sequence[Any]]
    ) -> list[tuple[Array, ...]]:
        """See ``shared.model_calls.ModelCaller``: called on the stage's thread."""
        try:
            rows = [tuple(map(value_of, instance)) for instance in instances]
        except UnusableValue as failure:
            raise RuntimeError(str(failure)) from failure
        call = ModelCall(model, subgraph)
        return self._calls.ask(
            lambda: execute(self._models, call, rows, self._urgency), f"call of {model}"
        )

    def close(self) -> None:
        """Nobody waits for the stage any more: end its calls, and refuse further ones."""
        self._calls.close()
