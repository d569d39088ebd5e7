"""Model stages: what does not fit a model is refused here, the rest goes to the queue."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.worker.batching.queue import BatchQueue
from services.worker.instances import Outcome, Values
from shared.errors import DeadlineExceeded, ExecutionFailed, InvalidRequest, PeerLost
from shared.membership import ModelSignature
from shared.servable import ModelSpec
from shared.stage_graph import ModelCall
from shared.tensors import ANY_SIZE, Array, ElementType, TensorSpec, check_value
from shared.urgency import Urgency


@dataclass(frozen=True, slots=True)
class _Expected:
    """What one instance must be for a model as agents loaded it."""

    signature: ModelSignature
    inputs: tuple[TensorSpec, ...]


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
        self._expected: dict[ModelCall, _Expected] = {}

    async def run(
        self, call: ModelCall, where: str, instances: Sequence[Values], urgency: Urgency
    ) -> list[Outcome]:
        """See ``stages.model_calls.Models``."""
        refused: dict[int, InvalidRequest] = {}
        rows: list[tuple[Array, ...]] = []
        for index, instance in enumerate(instances):
            try:
                rows.append(self._check(call, where, instance))
            except InvalidRequest as failure:
                refused[index] = failure
        executed = await self._queue.submit(call, rows, urgency) if rows else []
        outcomes = [
            outcome if isinstance(outcome, tuple) else _named(where, outcome)
            for outcome in executed
        ]
        for index, refusal in refused.items():
            outcomes.insert(index, refusal)
        return outcomes

    def inputs_count(self, call: ModelCall) -> int:
        """See ``stages.model_calls.Models``."""
        spec = self._models.get(call.model)
        if spec is None:
            raise InvalidRequest(f"the model is not declared, model '{call.model}'")
        signature = self._signature_of(call.model)
        if signature is None:
            raise InvalidRequest(f"the model '{call.model}' is not loaded now")
        if not 0 <= call.subgraph < len(signature.subgraphs):
            raise InvalidRequest(
                f"The model does not have subgraph of index {call.subgraph},"
                f" the subgraph count of the model is {len(signature.subgraphs)}"
            )
        return len(signature.subgraphs[call.subgraph].inputs)

    def _check(self, call: ModelCall, where: str, instance: Values) -> tuple[Array, ...]:
        """The instance as arrays; raises InvalidRequest naming what the model expects."""
        signature = self._signature_of(call.model)
        if signature is None:
            arrays = tuple(value for value in instance if isinstance(value, np.ndarray))
            if len(arrays) != len(instance):
                raise InvalidRequest(f"{where}text and bytes cannot go into a model")
            return arrays
        expected = self._expected.get(call)
        if expected is None or expected.signature is not signature:
            expected = self._expected[call] = self._expect(call, signature)
        inputs = expected.inputs
        if len(inputs) != len(instance):
            raise InvalidRequest(f"{where}expected {len(inputs)} inputs, got {len(instance)}")
        try:
            return tuple([check_value(inputs[i], value, "") for i, value in enumerate(instance)])
        except InvalidRequest as failure:
            known = _in_the_originals_words(inputs, instance)
            raise InvalidRequest(f"{where}{known}{failure.message}") from None

    def _expect(self, call: ModelCall, signature: ModelSignature) -> _Expected:
        spec = self._models[call.model]
        inputs = signature.subgraphs[call.subgraph].inputs
        return _Expected(
            signature,
            tuple(
                each.without_batch_dim()
                if spec.with_batch_dim and index not in spec.without_batch_dim_inputs
                else each
                for index, each in enumerate(inputs)
            ),
        )


def _in_the_originals_words(inputs: Sequence[TensorSpec], instance: Values) -> str:
    """What the original said of the first input that does not fit, for scripts that look for it.

    It looked at sizes in bytes and at dtypes, not at shapes, which are told beside it.
    """
    for index, (spec, value) in enumerate(zip(inputs, instance, strict=True)):
        if not isinstance(value, np.ndarray):
            continue
        known, dtype = f"Given model input {index} ", spec.element_type.dtype
        size = math.prod(spec.dims) * dtype.itemsize
        if ANY_SIZE not in spec.dims and value.nbytes != size:
            return f"{known}size {value.nbytes} not match the size {size} defined in model: "
        if value.dtype != dtype:
            return (
                f"{known}data type kMSI_{ElementType.of(value.dtype).name.capitalize()} not match"
                f" the data type kMSI_{spec.element_type.name.capitalize()} defined in model: "
            )
    return ""


def _named(where: str, outcome: Outcome) -> Outcome:
    """A failure of the model, its agent or its queue, with the stage that it belongs to."""
    if isinstance(outcome, ExecutionFailed | PeerLost | DeadlineExceeded):
        return type(outcome)(where + outcome.message)
    return outcome
