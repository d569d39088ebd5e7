"""Starts the agents of the ranks that belong on this machine, and waits until they serve."""

import json
from collections.abc import Callable, Sequence

from mindspore_serving.server.agents_config import AgentsStartConfig
from mindspore_serving.server.calls import NotAnswered, calling
from mindspore_serving.server.child import Child
from mindspore_serving.server.children import Children
from mindspore_serving.server.flag import Flag
from mindspore_serving.server.gangs import AwaitedGang, describe
from mindspore_serving.server.local_ranks import LocalRank, local_ranks
from shared.wire.gangs_codec import GangDescription
from shared.wire.health import CHECK_PATH, check_request, is_serving

_TRIES, _TRY_SECONDS, _PAUSE_SECONDS = 60, 1.0, 1.0
_FAILED = "Fail to start agents because of"


def start_agents(children: Children, config: AgentsStartConfig, interrupted: Flag) -> None:
    """Returns when all of them hold their ranks and a gang serves.

    Raises RuntimeError in the original's words, also when it is interrupted.
    """

    def check_interrupted() -> None:
        if interrupted.is_set():
            raise RuntimeError(f"{_FAILED} Ctrl+C")

    def pause() -> None:
        interrupted.wait(_PAUSE_SECONDS)
        check_interrupted()

    description = _ask(config.distributed_address, pause)
    ranks = local_ranks(config, description.places)
    started = [_start(children, config, description, rank) for rank in ranks]
    what = _what(config, ranks)
    try:
        with calling(config.distributed_address) as call:
            gang = AwaitedGang(call, description.what.servable)

            def are_ready() -> bool:
                check_interrupted()
                return gang.serves() and all(_holds(rank, description) for rank in ranks)

            children.wait(started, are_ready, None)
    except RuntimeError:
        print(f"Failed to start agents, {what}", flush=True)
        raise
    print(f"Success to start agents, {what}", flush=True)


def _ask(address: str, pause: Callable[[], None]) -> GangDescription:
    """What the worker says of its ranks; it may be started later than this."""
    reason = ""
    with calling(address) as call:
        for _ in range(_TRIES):
            try:
                return describe(call, _TRY_SECONDS)
            except NotAnswered as failure:
                reason = str(failure)
            pause()
    raise RuntimeError(f"Failed to get agents config from worker, address {address}: {reason}")


def _start(
    children: Children, config: AgentsStartConfig, described: GangDescription, rank: LocalRank
) -> Child:
    name, key = described.what.servable, config.decryption_key
    groups = rank.group_config_files
    return children.start(
        f"{name}_rank{rank.rank}_device{rank.device_id}",
        "agent",
        f"{_FAILED} death of one agent, rank {rank.rank}",
        *("--worker", config.distributed_address),
        *("--listen", rank.address),
        *("--rank", str(rank.rank)),
        *("--device-id", str(rank.device_id)),
        *("--model-files", json.dumps(rank.model_files)),
        *(("--group-config-files", json.dumps(groups)) if groups else ()),
        "--first-load-must-succeed",
        key=None if key is None else (name, key),
        address=rank.address,
        part=name,
    )


def _holds(rank: LocalRank, described: GangDescription) -> bool:
    """Whether its agent says that it is ready: the gang that serves may be another one."""
    try:
        with calling(rank.address) as call:
            return is_serving(call(CHECK_PATH, check_request(described.what.servable), 5.0))
    except NotAnswered:
        return False


def _what(config: AgentsStartConfig, ranks: Sequence[LocalRank]) -> str:
    groups = config.group_config_files
    return (
        f"distributed worker_address: {config.distributed_address},"
        f" agent_ip: {', '.join(sorted({rank.address.rpartition(':')[0] for rank in ranks}))},"
        f" agent_start_port: {config.agent_start_port},"
        f" device ids: {[rank.device_id for rank in ranks]},"
        f" rank ids: {[rank.rank for rank in ranks]},"
        f" model files: {[list(files) for files in config.model_files]},"
        f" group config files: {groups and [list(files) for files in groups]}"
    )
