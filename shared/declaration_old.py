"""The interfaces that came before ``add_stage``, recorded as the stages they stand for.

A method calls at most one preprocess, one servable and one postprocess, in this order;
the number of outputs of each is read from the method's source.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from shared import declaration_arguments as arguments
from shared.declaration import add_function_stage, add_model_stage
from shared.declaration_order import INTERFACES, POSTPROCESS, PREPROCESS
from shared.declaration_source import NotPlain, outputs_by_call
from shared.declaration_state import Declaration, Tracing, current_declaration
from shared.servable import ModelSpec
from shared.stage_graph import ModelCall

_TAGS = dict.fromkeys(PREPROCESS, "Preprocess") | dict.fromkeys(POSTPROCESS, "Postprocess")


def call_function(interface: str, function: Callable[..., Any] | str, args: Sequence[Any]) -> Any:
    """A function before or after the model: per instance, or with a list of instances.

    interface: call_preprocess, call_postprocess, or one of them with ``_pipeline``, whose
    function gets a list of instances (each a tuple of inputs) and gives a result for each.
    Returns one placeholder, or a tuple; raises RuntimeError in the original's words.
    """
    declaration = current_declaration()
    tracing = declaration.method_being_traced(interface)
    tracing.old_calls.note(tracing.method, interface)
    count = _outputs_count(tracing, interface)
    batch_size = 0 if interface.endswith("_pipeline") else None
    tag = _TAGS[interface]
    return add_function_stage(declaration, tracing, function, args, count, batch_size, tag)


def call_servable(args: Sequence[Any], subgraph: int) -> Any:
    """The one declared model, or its subgraph of that index.

    Returns one placeholder, or a tuple; raises RuntimeError in the original's words.
    """
    declaration = current_declaration()
    tracing = declaration.method_being_traced("call_servable")
    tracing.old_calls.note(tracing.method, "call_servable")
    model = _only_model(declaration)
    arguments.check_count("subgraph", subgraph, at_least=0)
    # How many a distributed model has is known when its agents have loaded it.
    if model.distribution is None and subgraph >= len(model.files):
        raise RuntimeError(
            f"The model does not have subgraph of index {subgraph}, the subgraph count of the"
            f" model is {len(model.files)}"
        )
    count = _outputs_count(tracing, "call_servable")
    return add_model_stage(declaration, tracing, ModelCall(model.key, subgraph), args, count)


def _only_model(declaration: Declaration) -> ModelSpec:
    models = list(declaration.models.values())
    if not models:
        raise RuntimeError(
            "There is no model declared, you can use declare_model to declare models."
        )
    if len(models) > 1:
        raise RuntimeError(
            "There are more than one servable declared when the interface 'call_servable' is used,"
            " use 'add_stage' to replace 'call_servable'"
        )
    return models[0]


def _outputs_count(tracing: Tracing, interface: str) -> int:
    try:
        source = inspect.getsource(tracing.function)
        return outputs_by_call(source, INTERFACES, tracing.outputs_count)[interface]
    except (NotPlain, KeyError):
        reason = (
            "complex statements such as conditions and loops are not supported in register_method"
            f" when the interface '{interface}' is used"
        )
    except (OSError, TypeError):
        reason = "its source cannot be read"
    raise RuntimeError(
        f"Failed to parse method '{tracing.method}', {reason}, use 'add_stage' to replace"
        f" '{interface}'"
    )
