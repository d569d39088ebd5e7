"""Where versions 1.2 to 1.4 had distributed servables, which are not supported yet."""

from collections.abc import Sequence
from typing import NoReturn

from mindspore_serving.server.distributed import refuse

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
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("declare_distributed_servable")


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
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("start_distributed_servable")


def start_distributed_servable_in_master(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    worker_ip: str = "0.0.0.0",
    worker_port: int = 6200,
    wait_agents_time_in_seconds: int = 0,
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("start_distributed_servable_in_master")


def startup_worker_agents(
    worker_ip: str,
    worker_port: int,
    model_files: Sequence[str | Sequence[str]],
    group_config_files: Sequence[str | Sequence[str]] | None = None,
    agent_start_port: int = 7000,
    agent_ip: str | None = None,
    rank_start: int | None = None,
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("startup_worker_agents")
