"""Model stages: what does not fit a model is refused here, the rest goes to the queue."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from services.worker.batching.queue import BatchQueue
from services.worker.instances import Outcome, Values
from shared.deadline import Deadline
from shared.errors import ExecutionFailed, InvalidRequest, PeerLost
from shared.membership import ModelSignature
from shared.servable import ModelSpec
from shared.stage_graph import ModelCall
from shared.tensors import Array, check_value


class ModelStages:
    """The models of one servable version.

    ``signature_of`` says what a loaded model takes; None while no agent has loaded it.
    """

    def __init__(
        self,
        models: Mapping[str, ModelSpec],
        signature_of: Callable[[str], ModelSignature | None],
        queue: BatchQueue,
    ) -> None:
        self._models = models
        self._signature_of = signature_of
        self._queue = queue

    async def run(
        self, call: ModelCall, where: str, instances: Sequence[Values], deadline: Deadline | None
    ) -> list[Outcome]:
        """See ``graph.runner.Models``."""
        outcomes: list[Outcome | None] = []
        rows: list[tuple[Array, ...]] = []
        for instance in instances:
            try:
                rows.append(self._check(call, where, instance))
                outcomes.append(None)
            except InvalidRequest as failure:
                outcomes.append(failure)
        executed = await self._queue.submit(call, rows, deadline) if rows else []
        answers = (_named(where, outcome) for outcome in executed)
        return [next(answers) if each is None else each for each in outcomes]

    def _check(self, call: ModelCall, where: str, instance: Values) -> tuple[Array, ...]:
        """The instance as arrays; raises InvalidRequest naming what the model expects."""
        signature = self._signature_of(call.model)
        if signature is None:
            arrays = tuple(value for value in instance if isinstance(value, np.ndarray))
            if len(arrays) != len(instance):
                raise InvalidRequest(f"{where}text and bytes cannot go into a model")
            return arrays
        spec = self._models[call.model]
        inputs = signature.subgraphs[call.subgraph].inputs
        if len(inputs) != len(instance):
            raise InvalidRequest(f"{where}expected {len(inputs)} inputs, got {len(instance)}")
        arrays = ()
        for index, (value, tensor) in enumerate(zip(instance, inputs, strict=True)):
            batched = spec.with_batch_dim and index not in spec.without_batch_dim_inputs
            expected = tensor.without_batch_dim() if batched else tensor
            arrays += (check_value(expected, value, where=where.removesuffix(": ")),)
        return arrays


def _named(where: str, outcome: Outcome) -> Outcome:
    """A failure of the model or its agent, with the stage that it belongs to."""
    if isinstance(outcome, ExecutionFailed | PeerLost):
        return type(outcome)(where + outcome.message)
    return outcome
