"""Where versions 1.2 to 1.4 had ``mindspore_serving.server.distributed``."""

from collections.abc import Sequence

from mindspore_serving.deprecation import say_deprecated
from mindspore_serving.server import distributed
from mindspore_serving.server.front import joined_address
from mindspore_serving.server.register import Model

__all__ = [
    "declare_distributed_servable",
    "start_distributed_servable",
    "start_distributed_servable_in_master",
    "startup_worker_agents",
]


def declare_distributed_servable(
    rank_size: int,
    stage_size: int,
    with_batch_dim: bool = True,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
) -> Model:
    """Declare the model of this servable; see ``server.distributed.declare_servable``."""
    _say("declare_distributed_servable", "declare_servable")
    return distributed.declare_servable(
        rank_size, stage_size, with_batch_dim, without_batch_dim_inputs
    )


def start_distributed_servable(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    worker_ip: str = "0.0.0.0",
    worker_port: int = 6200,
    master_ip: str = "0.0.0.0",
    master_port: int = 6100,
    wait_agents_time_in_seconds: int = 0,
) -> None:
    """Version 1.2: start a distributed servable that joins the master of another script.

    master_ip, master_port: what that script gave to ``master.start_master_server``. Either may
    be started first. worker_ip, worker_port: where agents and the master call.
    """
    _say("start_distributed_servable", "start_servable")
    distributed.join_master(
        servable_directory,
        servable_name,
        rank_table_json_file,
        version_number,
        joined_address(worker_ip, "worker_port", worker_port),
        joined_address(master_ip, "master_port", master_port),
        wait_agents_time_in_seconds,
    )


def start_distributed_servable_in_master(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    worker_ip: str = "0.0.0.0",
    worker_port: int = 6200,
    wait_agents_time_in_seconds: int = 0,
) -> None:
    """Start a distributed servable; see ``server.distributed.start_servable``."""
    _say("start_distributed_servable_in_master", "start_servable")
    distributed.start_servable(
        servable_directory,
        servable_name,
        rank_table_json_file,
        version_number,
        joined_address(worker_ip, "worker_port", worker_port),
        wait_agents_time_in_seconds,
    )


def startup_worker_agents(
    worker_ip: str,
    worker_port: int,
    model_files: Sequence[str | Sequence[str]],
    group_config_files: Sequence[str | Sequence[str]] | None = None,
    agent_start_port: int = 7000,
    agent_ip: str | None = None,
    rank_start: int | None = None,
) -> None:
    """Start the agents of this machine; see ``server.distributed.startup_agents``."""
    _say("startup_worker_agents", "startup_agents")
    distributed.startup_agents(
        joined_address(worker_ip, "worker_port", worker_port),
        model_files,
        group_config_files,
        agent_start_port,
        agent_ip,
        rank_start,
    )


def _say(name: str, instead: str) -> None:
    say_deprecated(
        f"mindspore_serving.worker.distributed.{name}",
        "1.3.0",
        f"mindspore_serving.server.distributed.{instead}",
    )
