"""What ``distributed.startup_agents`` is told, checked in the original's words."""

import os
from collections.abc import Sequence
from typing import Any

from mindspore_serving.server.front import DISTRIBUTED, check_address, check_text
from mindspore_serving.server.start_config import decryption_key, script_folder
from shared.declaration_arguments import check_count

# The original has eight agents on a machine.
_LAST_START_PORT = 65535 - 7

FilesOfRanks = tuple[tuple[str, ...], ...]
"""Paths, of each rank of a machine."""


class AgentsStartConfig:
    """Agents to start on one machine: their worker, their files, where they listen.

    Raises RuntimeError for arguments that cannot be used, and files that cannot be read.
    """

    def __init__(
        self,
        distributed_address: str,
        model_files: Sequence[str | Sequence[str]],
        group_config_files: Sequence[str | Sequence[str]] | None,
        agent_start_port: int,
        agent_ip: str | None,
        rank_start: int | None,
        dec_key: bytes | None,
        dec_mode: str,
    ) -> None:
        check_text("distributed_address", distributed_address)
        check_count("agent_start_port", agent_start_port, at_least=1, at_most=_LAST_START_PORT)
        models = _files_of("model_files", model_files)
        groups = None
        if group_config_files is not None:
            groups = _files_of("group_config_files", group_config_files)
        self.decryption_key = decryption_key(dec_key, dec_mode)
        if (agent_ip is None) != (rank_start is None):
            raise RuntimeError(
                "Parameter 'agent_ip' and parameter 'rank_start' must have values at the same time,"
                " or both None at the same time."
            )
        if agent_ip is not None:
            check_text("agent_ip", agent_ip)
            check_count("rank_start", rank_start, at_least=0)
        check_address(DISTRIBUTED, distributed_address)
        _check_counts(models, groups)
        self.distributed_address = distributed_address
        self.agent_start_port = agent_start_port
        self.agent_ip = agent_ip
        self.rank_start = rank_start
        self.model_files = _readable("model", models)
        self.group_config_files = None if groups is None else _readable("group config", groups)


def _files_of(name: str, given: Any) -> FilesOfRanks:
    ranks = (given,) if isinstance(given, str) else given
    if not isinstance(ranks, tuple | list):
        raise RuntimeError(
            f"Parameter '{name}' should be str or tuple/list of str, but actually {type(given)}"
        )
    return tuple(_files_of_rank(name, each) for each in ranks)


def _files_of_rank(name: str, given: Any) -> tuple[str, ...]:
    is_one = not isinstance(given, tuple | list)
    what = f"The {'item' if is_one else 'inner'} of parameter '{name}'"
    files = (given,) if is_one else tuple(given)
    for position, file in enumerate(files):
        if not isinstance(file, str):
            raise RuntimeError(f"{what} should be str, but actually {type(file)}")
        if not file:
            raise RuntimeError(f"{what} should not be empty str")
        if file in files[:position]:
            raise RuntimeError(
                f"The inner value '{file}' in parameter '{name}' should not be repeated"
            )
    return files


def _check_counts(models: FilesOfRanks, groups: FilesOfRanks | None) -> None:
    """The same number of subgraphs for every rank, and at most one group configuration."""
    if groups is not None and len(models) != len(groups):
        raise RuntimeError(
            f"Model files count {len(models)} does not equal to group config files count"
            f" {len(groups)} when group_config_files is not None,"
            f" model files: {as_lists(models)}, group config files: {as_lists(groups)}"
        )
    if len({len(files) for files in models}) > 1 or not all(models):
        # Two blanks, as scripts may look for them.
        raise RuntimeError(
            "please check the number of  model files and group config files, model files:"
            f" {as_lists(models)}, group config files: {groups and as_lists(groups)}"
        )
    if groups is not None and any(len(files) != 1 for files in groups):
        raise RuntimeError(
            "please check the number of  group config files, currently only support one at most"
        )


def _readable(kind: str, ranks: FilesOfRanks) -> FilesOfRanks:
    return tuple(tuple(_path(kind, file) for file in files) for files in ranks)


def _path(kind: str, file: str) -> str:
    path = (script_folder() / file).resolve()
    if not (path.is_file() and os.access(path, os.R_OK)):
        raise RuntimeError(f"Cannot access {kind} file '{path}'")
    return str(path)


def as_lists(ranks: FilesOfRanks) -> list[list[str]]:
    """As messages show files: those of each rank."""
    return [list(files) for files in ranks]
