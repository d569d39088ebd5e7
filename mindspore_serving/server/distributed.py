"""Where scripts since 1.3 have distributed servables, which are not supported yet."""

from collections.abc import Sequence
from typing import NoReturn

__all__ = ["declare_servable", "start_servable", "startup_agents"]


def declare_servable(
    rank_size: int,
    stage_size: int,
    with_batch_dim: bool = True,
    without_batch_dim_inputs: int | Sequence[int] | None = None,
    enable_pipeline_infer: bool = False,
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("declare_servable")


def start_servable(
    servable_directory: str,
    servable_name: str,
    rank_table_json_file: str,
    version_number: int = 1,
    distributed_address: str = "0.0.0.0:6200",
    wait_agents_time_in_seconds: int = 0,
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("start_servable")


def startup_agents(
    distributed_address: str,
    model_files: Sequence[str | Sequence[str]],
    group_config_files: Sequence[str | Sequence[str]] | None = None,
    agent_start_port: int = 7000,
    agent_ip: str | None = None,
    rank_start: int | None = None,
    dec_key: bytes | None = None,
    dec_mode: str = "AES-GCM",
) -> NoReturn:
    """Raises RuntimeError: there are no distributed servables yet."""
    refuse("startup_agents")


def refuse(name: str) -> NoReturn:
    """Raises RuntimeError that names what was called."""
    raise RuntimeError(f"{name}: distributed servables are not part of this version yet")
