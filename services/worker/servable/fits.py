"""(pure) Whether what a servable declares fits the models that were loaded for it."""

from collections.abc import Mapping

from shared.errors import LoadFailed
from shared.membership import ModelSignature
from shared.servable import Method, ModelSpec, Servable
from shared.stage_graph import ModelCall, Stage
from shared.tensors import ANY_SIZE


def check_fits(servable: Servable, signatures: Mapping[str, ModelSignature]) -> None:
    """Raises LoadFailed when a method calls a model with other inputs or outputs than it has.

    Or when a model is declared with batch sizes that it cannot have.
    """
    for model in servable.models.values():
        if model.key in signatures:
            _check_batch_sizes(servable.name, model, signatures[model.key])
    for method in servable.methods.values():
        for stage in method.graph.stages:
            if isinstance(stage.call, ModelCall):
                _check_stage(servable.name, method, stage, stage.call, signatures)


def _check_batch_sizes(servable: str, model: ModelSpec, signature: ModelSignature) -> None:
    declared, size = model.batching, signature.batch_size
    named = {
        "max_batch_size": declared.max_batch_size or 0,
        "preferred_batch_sizes": max(declared.preferred_batch_sizes, default=0),
    }
    is_fixed = model.with_batch_dim and not _is_dynamic(model, signature)
    for parameter, value in named.items():
        if value and (is_fixed or value > size):
            reason = f"is {size} in the model itself" if is_fixed else f"is at most {size}"
            raise LoadFailed(
                f"servable '{servable}', model '{model.key}': {parameter} {value} is declared, but"
                f" the batch size {reason}"
            )


def _is_dynamic(model: ModelSpec, signature: ModelSignature) -> bool:
    """Whether the model takes any number of rows."""
    return any(
        spec.dims[:1] == (ANY_SIZE,)
        for subgraph in signature.subgraphs
        for index, spec in enumerate(subgraph.inputs)
        if index not in model.without_batch_dim_inputs
    )


def _check_stage(
    servable: str,
    method: Method,
    stage: Stage,
    call: ModelCall,
    signatures: Mapping[str, ModelSignature],
) -> None:
    where = f"servable '{servable}', method '{method.name}', model '{call.model}'"
    signature = signatures.get(call.model)
    if signature is None:
        raise LoadFailed(f"{where}: the agent did not load this model")
    if call.subgraph >= len(signature.subgraphs):
        count = len(signature.subgraphs)
        raise LoadFailed(f"{where}: there is no subgraph {call.subgraph}, only {count}")
    subgraph = signature.subgraphs[call.subgraph]
    for kind, given, defined in (
        ("inputs", len(stage.inputs), len(subgraph.inputs)),
        ("outputs", stage.outputs_count, len(subgraph.outputs)),
    ):
        if given != defined:
            raise LoadFailed(
                f"The {kind} count {given} in register_method not equal to the count {defined}"
                f" defined in model, {where}"
            )
