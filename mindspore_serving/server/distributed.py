"""Distributed servables: models cut into ranks, each of which an agent holds.

A servable_config.py declares one; one script starts its worker, and a script on each machine
starts the agents there, in any order.
"""

from collections.abc import Sequence

from mindspore_serving.server.agents import start_agents
from mindspore_serving.server.agents_config import AgentsStartConfig
from mindspore_serving.server.context import AclOptions, Context, GpuOptions, model_options
from mindspore_serving.server.distributed_config import DistributedStartConfig
from mindspore_serving.server.script import stops_all_on_failure, this_script
from shared import declaration_arguments as arguments
from shared.declaration import Model
from shared.declaration_distributed import declare_distributed
from shared.servable import Distribution

__all__ = ["declare_servable", "start_servable", "startup_agents"]


def declare_servable(
    rank_size: int,
    stage_size: int,
    with_batch_dim: bool = True,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
    enable_pipeline_infer: bool = False,
    *,
    model_format: str = "MindIR",
    relay_stages: bool | None = None,
    options: AclOptions | GpuOptions | None = None,
    context: Context | None = None,
    max_batch_size: int | None = None,
    preferred_batch_sizes: int | Sequence[int] | None = None,
    max_queue_delay_seconds: float | None = None,
    priority_levels: int | None = None,
    default_priority_level: int | None = None,
) -> Model:
    """Declare the model of this servable, which has no other one and no files of its own.

    rank_size: ranks it is cut into, which together answer one call.
    stage_size: pipeline stages, neighbouring ranks each; rank_size is a multiple of it.
    with_batch_dim, without_batch_dim_inputs: as of ``declare_model``.
    enable_pipeline_infer: as many batches at work as there are stages.

    relay_stages: whether the worker carries what one stage gives to the next one; None: where
    the devices cannot send, that is on CPUs. Otherwise the graphs do.
    The others are those of ``declare_model``; the model's key is the name of the servable.
    Raises RuntimeError when the declaration is wrong.
    """
    arguments.check_flag("with_batch_dim", with_batch_dim)
    batching = arguments.batching_of(
        with_batch_dim=with_batch_dim,
        max_batch_size=max_batch_size,
        preferred_batch_sizes=preferred_batch_sizes,
        max_queue_delay_seconds=max_queue_delay_seconds,
        priority_levels=priority_levels,
        default_priority_level=default_priority_level,
    )
    return declare_distributed(
        Distribution(rank_size, stage_size, enable_pipeline_infer, relay_stages),
        model_format,
        with_batch_dim=with_batch_dim,
        without_batch_dim_inputs=without_batch_dim_inputs,
        options=model_options(options, context, None),
        batching=batching,
    )


def start_servable(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    distributed_address: str = "0.0.0.0:6200",
    wait_agents_time_in_seconds: int = 0,
) -> None:
    """Start a distributed servable; returns when all its ranks are there and it can be called.

    servable_directory: folder that holds the servable's folder. It and rank_table_json_file are
    taken from the folder of the started script when they are relative.
    version_number: what clients see; there are no version folders, and 0 means 1.
    distributed_address: where agents join, HOST:PORT. All of this machine's addresses with
    0.0.0.0; only 127.0.0.1 then if the rank table has no addresses but of the loopback.
    wait_agents_time_in_seconds: how long to wait for the agents of all ranks; 0 means for ever.
    What is missing is printed meanwhile.
    The process then stays alive until ``server.stop`` or a signal. Raises RuntimeError with the
    reason when the servable cannot be started; nothing started by this script is left then.
    """
    _start_servable(
        servable_directory,
        servable_name,
        rank_table_json_file,
        version_number,
        distributed_address,
        wait_agents_time_in_seconds,
    )


@stops_all_on_failure
def _start_servable(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int,
    distributed_address: str,
    wait_agents_time_in_seconds: int,
    masters: Sequence[str] = (),
) -> None:
    config = DistributedStartConfig(
        servable_directory,
        servable_name,
        rank_table_json_file,
        version_number,
        distributed_address,
        wait_agents_time_in_seconds,
    )
    stack = this_script.begin("servables", "Serving Error: servables are already running")
    stack.start_distributed(config, masters=masters)
    this_script.stay_alive()


def join_master(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int,
    distributed_address: str,
    master_address: str,
    wait_agents_time_in_seconds: int,
) -> None:
    """Serve at the master of another script: ``worker.distributed.start_distributed_servable``."""
    _start_servable(
        servable_directory,
        servable_name,
        rank_table_json_file,
        version_number,
        distributed_address,
        wait_agents_time_in_seconds,
        [master_address],
    )


@stops_all_on_failure
def startup_agents(
    distributed_address: str,
    model_files: Sequence[str | Sequence[str]],
    group_config_files: Sequence[str | Sequence[str]] | None = None,
    agent_start_port: int = 7000,
    agent_ip: str | None = None,
    rank_start: int | None = None,
    dec_key: bytes | None = None,
    dec_mode: str = "AES-GCM",
) -> None:
    """Start the agents of all ranks of this machine; returns when all ranks of all machines serve.

    distributed_address: where the worker listens, HOST:PORT; it may be started later, in the
    next two minutes.
    model_files: the file of each rank of this machine, in order of rank; a list of files where
    the model has several subgraphs. Relative ones are taken from the folder of the started script.
    group_config_files: as many, or None; what MindSpore's exporter says of groups of ranks.
    agent_start_port: the first agent listens there, each other one at the next port.
    agent_ip, rank_start: this machine's address, and its first rank, where the rank table's
    addresses are not those that agents can listen on.
    dec_key, dec_mode: as of ``ServableStartConfig``.
    The kind of device is that of the environment, ``MINDSERVE_AGENT_DEVICE_TYPE``: CPU, GPU or
    Ascend. The process then stays alive, and agents that crash are started again, until
    ``server.stop`` or a signal. Raises RuntimeError with the reason when agents cannot be started;
    none of them is left then.
    """
    config = AgentsStartConfig(
        distributed_address,
        model_files,
        group_config_files,
        agent_start_port,
        agent_ip,
        rank_start,
        dec_key,
        dec_mode,
    )
    stack = this_script.begin("agents", "Serving Error: agents are already running")
    with this_script.noting_signals() as interrupted:
        start_agents(stack.children, config, interrupted)
    this_script.stay_alive()
