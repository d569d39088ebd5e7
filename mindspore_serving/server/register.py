"""What a servable_config.py calls to declare models and methods.

``__all__`` has the original's names. Of the others ``declare_language_model`` is new; those that
belong to scripts of older versions say once per process what to use instead.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mindspore_serving.deprecation import say_deprecated
from mindspore_serving.server.context import (
    AclOptions,
    AscendDeviceInfo,
    Context,
    CPUDeviceInfo,
    GPUDeviceInfo,
    GpuOptions,
    model_options,
)
from shared import (
    declaration,
    declaration_language,
    declaration_old,
    declaration_pipeline,
)
from shared import declaration_arguments as arguments
from shared.declaration import Model
from shared.declaration_pipeline import PipelineServable as PipelineServable  # noqa: PLC0414 (given on)

__all__ = [
    "AscendDeviceInfo",
    "CPUDeviceInfo",
    "Context",
    "GPUDeviceInfo",
    "Model",
    "add_stage",
    "declare_model",
    "register_method",
]


def declare_model(
    model_file: str | Sequence[str],
    model_format: str,
    with_batch_dim: bool = True,
    options: AclOptions | GpuOptions | None = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
    context: Context | None = None,
    config_file: str | None = None,
    *,
    cores: int | None = None,
    max_batch_size: int | None = None,
    preferred_batch_sizes: int | Sequence[int] | None = None,
    max_queue_delay_seconds: float | None = None,
    priority_levels: int | None = None,
    default_priority_level: int | None = None,
) -> Model:
    """Declare a model of this servable.

    model_file: a file name in the version folder, or several: subgraphs 0, 1, ...
    model_format: "MindIR", "MindIR_Lite" or "ONNX", case ignored ("Reference" for the NumPy
    backend).
    with_batch_dim: whether dim 0 of inputs and outputs counts instances.
    without_batch_dim_inputs: indices of inputs without that dim.
    options, context: threads and devices; each backend acts on what it can, and the agent's log
    names the rest. ``context`` is used where both are given.
    config_file: a MindSpore Lite file in the folder of servable_config.py.
    cores: on how many of a host's cores its calls run; None has them run on all.

    preferred_batch_sizes: a batch gets the largest of these that so many rows wait for; all
    rows while fewer wait than the smallest. For dynamic models; none above max_batch_size.

    The others take the worker's setting of the same name when they are None:

    max_batch_size: rows of one batch at most, for a model whose batch dim is dynamic.
    max_queue_delay_seconds: how long rows are held back for company while every agent is busy.
    priority_levels: levels that requests may ask for, 1 is the highest.
    default_priority_level: the level of requests that ask for none.
    Raises RuntimeError when the declaration is wrong.
    """
    batching = arguments.batching_of(
        with_batch_dim=with_batch_dim,
        max_batch_size=max_batch_size,
        preferred_batch_sizes=preferred_batch_sizes,
        max_queue_delay_seconds=max_queue_delay_seconds,
        priority_levels=priority_levels,
        default_priority_level=default_priority_level,
    )
    return declaration.declare_model(
        model_file,
        model_format,
        with_batch_dim=with_batch_dim,
        without_batch_dim_inputs=without_batch_dim_inputs,
        options=model_options(options, context, config_file, cores),
        batching=batching,
    )


def declare_language_model(
    prefill_model: str | Sequence[str],
    decode_model: str | Sequence[str],
    argmax_model: str | None = None,
    topk_model: str | None = None,
    tokenizer: str = "tokenizer.json",
    chat_template: str | None = None,
    eos_ids: int | Sequence[int] | None = None,
    *,
    max_model_len: int,
    slots: int,
    block_size: int = 16,
    blocks: int | None = None,
    adapters: Mapping[str, int] | None = None,
    device_post_sampling: bool = False,
    decode_cores: int | None = None,
    token_budget: int | None = None,
    chunk_tokens: int | None = None,
    max_prefill_batch: int | None = None,
    continuous: bool | None = None,
    length_fitted: bool | None = None,
    ahead: bool | None = None,
    prefix_cache: bool | None = None,
    speculated_tokens: int | None = None,
    spare_blocks: int | None = None,
    recoveries: int | None = None,
    max_waiting: int | None = None,
    patience_seconds: float = 30.0,
    model_format: str = "MindIR",
    rank_size: int = 1,
) -> None:
    """Declare the language model of this servable: clients have it continue texts.

    prefill_model, decode_model: files in the version folder, one for each static shape (rows,
    tokens, length); docs/generation.md says what their inputs and outputs are.
    argmax_model, topk_model: graphs that choose tokens; NumPy does without them.
    tokenizer: tokenizer.json, in the version folder or in that of servable_config.py.
    chat_template: a Jinja file there; None takes that of tokenizer_config.json, if it has one.
    eos_ids: what the model ends texts with; None takes those of generation_config.json.

    max_model_len: tokens of a text at most, prompt and completion together.
    slots: texts continued at once; a decode graph has that many rows.
    block_size, blocks: tokens of a block of KV cache, and how many; by default as many as all
    slots can fill.
    adapters: names that clients may call instead of the servable's, and their numbers, from 1 on.
    device_post_sampling: choose tokens by the argmax and topk graphs; NumPy is faster on a CPU.
    decode_cores: on how many cores of a CPU decode graphs run; None has them run on all. One is
    enough for a small model: more compute it no faster, and keep services from computing.
    patience_seconds: how long texts whose agent was lost wait for another one before they fail.
    rank_size: ranks that the model is cut into, which together compute each token; agents of ranks
    then bring files of their own, in the order of the files named here (docs/distributed.md).

    The others are rules of the scheduler (docs/generation.md); None takes their defaults.
    Raises RuntimeError when the declaration is wrong.
    """
    declaration_language.declare_language_model(
        prefill_model,
        decode_model,
        argmax_model,
        topk_model,
        model_format,
        tokenizer=tokenizer,
        chat_template=chat_template,
        eos_ids=eos_ids,
        max_model_len=max_model_len,
        slots=slots,
        block_size=block_size,
        blocks=blocks,
        adapters=adapters,
        device_post_sampling=device_post_sampling,
        decode_cores=decode_cores,
        rank_size=rank_size,
        patience_seconds=patience_seconds,
        rules={
            "token_budget": token_budget,
            "chunk_tokens": chunk_tokens,
            "max_prefill_batch": max_prefill_batch,
            "continuous": continuous,
            "length_fitted": length_fitted,
            "ahead": ahead,
            "prefix_cache": prefix_cache,
            "speculated_tokens": speculated_tokens,
            "spare_blocks": spare_blocks,
            "recoveries": recoveries,
            "max_waiting": max_waiting,
        },
    )


def add_stage(
    stage: Callable[..., Any] | Model | str,
    *args: Any,
    outputs_count: int,
    batch_size: int | None = None,
    tag: str | None = None,
) -> Any:
    """Add a Python function or a model as the next stage of the method.

    stage: a function, a Model (its subgraph 0), or "argmax_cpp": one input, one int64 output.
    args: placeholders, from the method's inputs or from earlier stages.
    batch_size: None calls the function once per instance; 0 or n with a list of instances.
    Returns one placeholder, or a tuple of ``outputs_count``.
    """
    return declaration.add_stage(
        stage, *args, outputs_count=outputs_count, batch_size=batch_size, tag=tag
    )


def register_method(
    output_names: str | Sequence[str],
    *,
    timeout_seconds: float | None = None,
    max_timeout_seconds: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as a method that returns ``output_names``.

    timeout_seconds: the time of a request whose client set no deadline; None leaves it to the
    door that it came by.
    max_timeout_seconds: the most time of any request, whatever its client asked for.
    """
    return declaration.register_method(
        output_names, timeout_seconds=timeout_seconds, max_timeout_seconds=max_timeout_seconds
    )


def declare_servable(
    servable_file: str | Sequence[str],
    model_format: str,
    with_batch_dim: bool = True,
    options: AclOptions | GpuOptions | None = None,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> Model:
    """Declare the model of this servable, as ``declare_model`` does."""
    say_deprecated("declare_servable", "1.5.0", "declare_model")
    return declare_model(
        servable_file, model_format, with_batch_dim, options, without_batch_dim_inputs
    )


def call_preprocess(preprocess_fun: Callable[..., Any] | str, *args: Any) -> Any:
    """Call a function for each instance, before ``call_servable``.

    Returns as many placeholders as the result is assigned to.
    """
    return _call_function("call_preprocess", preprocess_fun, args)


def call_preprocess_pipeline(preprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """Call a function with a list of instances (tuples of inputs), before ``call_servable``."""
    return _call_function("call_preprocess_pipeline", preprocess_fun, args)


def call_servable(*args: Any, subgraph: int = 0) -> Any:
    """Execute the one model that is declared, or its subgraph of that index.

    Returns as many placeholders as the result is assigned to.
    """
    say_deprecated("call_servable", "1.5.0", "add_stage")
    return declaration_old.call_servable(args, subgraph)


def call_postprocess(postprocess_fun: Callable[..., Any] | str, *args: Any) -> Any:
    """Call a function for each instance, after ``call_servable``."""
    return _call_function("call_postprocess", postprocess_fun, args)


def call_postprocess_pipeline(postprocess_fun: Callable[..., Any], *args: Any) -> Any:
    """Call a function with a list of instances (tuples of inputs), after ``call_servable``."""
    return _call_function("call_postprocess_pipeline", postprocess_fun, args)


def _call_function(interface: str, function: Callable[..., Any] | str, args: Sequence[Any]) -> Any:
    say_deprecated(interface, "1.5.0", "add_stage")
    return declaration_old.call_function(interface, function, args)


def register_pipeline(
    output_names: str | Sequence[str],
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Versions 1.3 and 1.4: register a function that calls methods of servables.

    Clients of the servable then see its pipelines alone.
    """
    say_deprecated("register_pipeline", "1.5.0", "Model.call")
    return declaration_pipeline.register_pipeline(output_names)
