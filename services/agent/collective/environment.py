"""(pure) What libraries of collectives read from the environment of a rank's device process."""

from collections.abc import Sequence

from shared.addresses import HostPort
from shared.membership import Device, GangPart

# How soon MindSpore's own heartbeats give up a node. By default survivors of a lost rank hang in
# their collective for half a minute, with these for 8 s; agents end them long before.
_PATIENCE = {"MS_NODE_TIMEOUT": "5", "MS_RECEIVE_MSG_TIMEOUT": "3"}


def rank_environment(
    part: GangPart,
    device: Device,
    scheduler: HostPort | None,
    rank_table_file: str,
    group_config_files: Sequence[str],
) -> dict[str, str]:
    """The variables of one rank.

    Ranks of CPUs and GPUs meet at ``scheduler``, those of Ascends by ``rank_table_file`` (empty
    for none) and ``group_config_files``.
    """
    variables = {
        "RANK_ID": str(part.rank),
        "RANK_SIZE": str(part.rank_size),
        "DEVICE_ID": str(device.id),
    }
    if scheduler is not None:
        variables |= _meeting_at(scheduler, part.group_size)
        variables |= {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": str(part.group_rank)}
    if device.type == "Ascend":
        variables["MS_ENABLE_HCCL"] = "1"
        if rank_table_file:
            variables["RANK_TABLE_FILE"] = rank_table_file
        if group_config_files:
            variables["PARA_GROUP_FILE"] = ";".join(group_config_files)
    return variables


def scheduler_environment(scheduler: HostPort, group_size: int) -> dict[str, str]:
    """The variables of MindSpore's scheduler process."""
    return _meeting_at(scheduler, group_size) | {"MS_ROLE": "MS_SCHED"}


def _meeting_at(scheduler: HostPort, group_size: int) -> dict[str, str]:
    return {
        "MS_WORKER_NUM": str(group_size),
        "MS_SCHED_HOST": scheduler.host,
        "MS_SCHED_PORT": str(scheduler.port),
        **_PATIENCE,
    }
