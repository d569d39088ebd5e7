"""``startup_agents`` of MindSpore's llm-serving."""

from typing import Any

from mindspore_serving.agent.language_model import start_language_model
from mindspore_serving.config.language_model import LanguageModelConfig, warn
from mindspore_serving.config.module import serving_config
from mindspore_serving.server.script import stops_all_on_failure, this_script

__all__ = ["startup_agents"]


@stops_all_on_failure
def startup_agents(
    ctx_setting: Any,
    inc_setting: Any,
    post_model_setting: Any = None,
    rank_size: int | None = None,
    prefill_model: Any = None,
    decode_model: Any = None,
    argmax_model: Any = None,
    topk_model: Any = None,
    startup_queue: Any = None,
) -> None:
    """Start the agents of a language model; returns when they have loaded and warmed it up.

    ctx_setting, inc_setting, post_model_setting: files of MindSpore Lite, without effect.
    rank_size: how many agents; as many as ``AgentConfig.AgentPorts`` has.
    prefill_model, decode_model: the MINDIR of each rank, or a list of them, one for each static
    shape; docs/generation.md says what graphs take and give.
    argmax_model, topk_model: graphs that choose tokens; the first is used where there are several.
    startup_queue: each rank is put on it once it serves.
    Later versions: ``startup_agents(config, startup_queue)`` with a ``ServingConfig``.

    The rest is read from ``config/serving_config.py``, which must be importable. Relative paths
    are those of the working directory. The kind of device is that of the environment,
    ``MINDSERVE_AGENT_DEVICE_TYPE``: CPU, GPU or Ascend. The process then stays alive, and agents
    that crash are started again, until a signal. Raises RuntimeError that names a field and its
    value, or says why an agent could not start; nothing that was started is left then.
    """
    if post_model_setting is None and rank_size is None and startup_queue is None:
        config, queue = LanguageModelConfig.of_yaml(ctx_setting), inc_setting
        warn(ctx_setting, "yaml")
    else:
        module, queue = serving_config(), startup_queue
        given = {
            "prefill_model": prefill_model, "decode_model": decode_model,
            "argmax_model": argmax_model, "topk_model": topk_model,
        }  # fmt: skip
        config = LanguageModelConfig.of_module(module, given)
        if rank_size != len(config.agents):
            raise RuntimeError(
                f"Parameter 'rank_size': expected {len(config.agents)}, as many as"
                f" AgentConfig.AgentPorts, got {rank_size!r}"
            )
        warn(module, "module")
    if not callable(getattr(queue, "put", None)):
        raise RuntimeError(
            f"Parameter 'startup_queue': expected a queue with put, got {type(queue)}"
        )
    stack = this_script.begin("agents", "Serving Error: agents are already running")
    start_language_model(stack.children, config)
    this_script.stay_alive()
    for rank in range(len(config.agents)):
        queue.put(rank)
