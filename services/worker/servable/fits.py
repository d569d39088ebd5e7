"""(pure) Whether a servable's methods fit the models that were loaded for it."""

from collections.abc import Mapping

from shared.errors import LoadFailed
from shared.membership import ModelSignature
from shared.servable import Method, Servable
from shared.stage_graph import ModelCall, Stage


def check_fits(servable: Servable, signatures: Mapping[str, ModelSignature]) -> None:
    """Raises LoadFailed when a method calls a model with other inputs or outputs than it has."""
    for method in servable.methods.values():
        for stage in method.graph.stages:
            if isinstance(stage.call, ModelCall):
                _check_stage(servable.name, method, stage, stage.call, signatures)


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
