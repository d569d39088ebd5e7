"""Which ranks of a distributed model belong on this machine, and with which files."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mindspore_serving.server.agents_config import AgentsStartConfig, as_lists
from shared.addresses import HostPort
from shared.ports import is_unused
from shared.rank_table import RankPlace

_MOST_PORT = 65535
# The original has eight agents on a machine.
_PORTS_TRIED = 8


@dataclass(frozen=True, slots=True)
class LocalRank:
    """A rank whose agent is started here."""

    rank: int
    device_id: int
    address: str
    """Where its agent listens."""
    model_files: tuple[str, ...]
    """Its subgraphs, in order."""
    group_config_files: tuple[str, ...]


class CanBind(Protocol):
    """Whether a server on this machine could listen there."""

    def __call__(self, ip: str, port: int) -> bool: ...


def can_bind(ip: str, port: int) -> bool:
    """Whether ``ip`` (or a name of it) is this machine's, and ``port`` is free there."""
    try:
        return is_unused(port, ip)
    except (OSError, UnicodeError):  # the address of another machine, or none
        return False


def local_ranks(
    config: AgentsStartConfig, places: Sequence[RankPlace], can_bind: CanBind = can_bind
) -> tuple[LocalRank, ...]:
    """The ranks of this machine, in order; raises RuntimeError in the original's words."""
    local = _local_places(config, places, can_bind)
    models, groups = config.model_files, config.group_config_files
    if len(local) != len(models):
        raise RuntimeError(
            f"Card count {[place.device_id for place in local]} described rank table does not equal"
            f" to model files size {len(models)}, model files: {as_lists(models)}"
        )
    if config.agent_start_port + len(local) - 1 > _MOST_PORT:
        raise RuntimeError(
            f"Parameter 'agent_start_port' {config.agent_start_port} leaves no port for each of"
            f" {len(local)} agents"
        )
    return tuple(
        LocalRank(
            place.rank,
            place.device_id,
            str(HostPort(config.agent_ip or place.ip, config.agent_start_port + index)),
            models[index],
            groups[index] if groups is not None else (),
        )
        for index, place in enumerate(local)
    )


def _local_places(
    config: AgentsStartConfig, places: Sequence[RankPlace], can_bind: CanBind
) -> list[RankPlace]:
    port = config.agent_start_port
    if config.agent_ip is None or config.rank_start is None:
        ips = sorted({place.ip for place in places})
        local = {ip for ip in ips if can_bind(ip, port)}
        if not local:
            raise RuntimeError(
                f"Get local machine ip failed, rank table ips: {ips}, bind port {port}"
            )
    else:
        if config.rank_start >= len(places):
            raise RuntimeError(
                f"Parameter 'rank_start' cannot equal or larger than rank size {len(places)}."
            )
        if not any(can_bind(config.agent_ip, port + n) for n in range(_PORTS_TRIED)):
            raise RuntimeError(
                f"Check ip 'agent_ip' valid failed, agent_ip: {config.agent_ip}, bind ports {port}"
                f" to {port + _PORTS_TRIED - 1}"
            )
        local = {places[config.rank_start].ip}
    return [place for place in places if place.ip in local]
