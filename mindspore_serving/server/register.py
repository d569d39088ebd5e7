"""What a servable_config.py calls to declare models and methods."""

from collections.abc import Callable, Sequence
from typing import Any

from shared import declaration, declaration_arguments
from shared.declaration import Model

__all__ = ["Model", "add_stage", "declare_model", "register_method"]


def declare_model(
    model_file: str | Sequence[str],
    model_format: str,
    with_batch_dim: bool = True,
    options: None = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
    context: None = None,
    config_file: None = None,
) -> Model:
    """Declare a model of this servable.

    model_file: a file name in the version folder, or several: subgraphs 0, 1, ...
    model_format: "MindIR", case ignored ("Reference" for the NumPy backend).
    with_batch_dim: whether dim 0 of inputs and outputs counts instances.
    without_batch_dim_inputs: indices of inputs without that dim.
    options, context, config_file: known by name only, not supported yet.
    Raises RuntimeError when the declaration is wrong.
    """
    declaration_arguments.refuse_unsupported(options, context, config_file)
    return declaration.declare_model(
        model_file,
        model_format,
        with_batch_dim=with_batch_dim,
        without_batch_dim_inputs=without_batch_dim_inputs,
    )


def add_stage(
    stage: Callable[..., Any] | Model,
    *args: Any,
    outputs_count: int,
    batch_size: int | None = None,
    tag: str | None = None,
) -> Any:
    """Add a Python function or a model as the next stage of the method.

    args: placeholders, from the method's inputs or from earlier stages.
    batch_size: None calls the function once per instance; 0 or n with a list of instances.
    Returns one placeholder, or a tuple of ``outputs_count``.
    """
    return declaration.add_stage(
        stage, *args, outputs_count=outputs_count, batch_size=batch_size, tag=tag
    )


def register_method(
    output_names: str | Sequence[str],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as a method that returns ``output_names``."""
    return declaration.register_method(output_names)
