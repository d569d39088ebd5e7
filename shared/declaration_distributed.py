"""The one model of a distributed servable, whose files the agents of its ranks name."""

from collections.abc import Sequence

from shared import declaration_arguments as arguments
from shared.declaration import Model
from shared.declaration_state import current_declaration
from shared.servable import Batching, Distribution, ModelOptions, ModelSpec

_FAILED = "Declare distributed model failed, servable"


def declare_distributed(
    distribution: Distribution,
    model_format: str,
    *,
    with_batch_dim: bool,
    without_batch_dim_inputs: int | Sequence[int] | None,
    options: ModelOptions,
    batching: Batching,
) -> Model:
    """Record it under the servable's own name; raises RuntimeError in the original's words."""
    declaration = current_declaration()
    unbatched = arguments.indices_of("without_batch_dim_inputs", without_batch_dim_inputs)
    known_format = arguments.model_format_of(model_format)
    _check(distribution)
    declared = list(declaration.models.values())
    if any(model.distribution for model in declared):
        raise RuntimeError(f"{_FAILED} is repeatedly been declared as distributed servable")
    if declared:
        raise RuntimeError(f"{_FAILED} has already been declared as local servable")
    key = declaration.servable
    declaration.models[key] = ModelSpec(
        key, (), known_format, with_batch_dim, unbatched, options, batching, distribution
    )
    return Model(key)


def _check(distribution: Distribution) -> None:
    arguments.check_count("rank_size", distribution.rank_size, at_least=1)
    arguments.check_count("stage_size", distribution.stage_size, at_least=1)
    arguments.check_flag("enable_pipeline_infer", distribution.enable_pipeline_infer)
    if distribution.relay_stages is not None:
        arguments.check_flag("relay_stages", distribution.relay_stages)
    if distribution.rank_size % distribution.stage_size:
        raise RuntimeError(
            "Rank size must be an integral multiple of stage size, rank size:"
            f" {distribution.rank_size}, stage size: {distribution.stage_size}"
        )
