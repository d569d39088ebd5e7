"""(pure) Which rank of a distributed model this process is, as whatever started it says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shared.errors import LoadFailed


@dataclass(frozen=True, slots=True)
class Rank:
    """One process among those that run a distributed model together."""

    number: int
    size: int | None = None
    """How many ranks there are; None: not said."""
    device_id: int | None = None
    """The device on this host; None: the agent's."""
    rank_table_file: str = ""
    """Who is where, for Ascends; empty: the model's config file says it, or nobody has to."""
    group_file: str = ""
    """The communication groups that a distributed export wrote; empty: none."""


class _Names(NamedTuple):
    """What one kind of starter calls rank, size and the device on this host."""

    rank: str
    size: str
    device: str


_STARTERS = (
    # Open MPI, MVAPICH2, MPICH and Intel MPI: ranks of a host take its devices in turn.
    _Names("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    _Names("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_RANK"),
    _Names("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    # Start scripts of MindSpore.
    _Names("RANK_ID", "RANK_SIZE", "DEVICE_ID"),
)


def rank_in(environment: Mapping[str, str]) -> Rank | None:
    """The rank that a process with these variables is; None: it belongs to no gang.

    The first starter that says a rank is believed. One rank of one is no gang.
    Raises LoadFailed naming a variable that makes no sense.
    """
    for names in _STARTERS:
        number = _whole(environment, names.rank)
        if number is None:
            continue
        size = _whole(environment, names.size)
        if size is not None and number >= size:
            raise LoadFailed(f"{names.rank} is {number}, but {names.size} is {size}")
        if size == 1:
            return None
        return Rank(
            number,
            size,
            _whole(environment, names.device),
            environment.get("RANK_TABLE_FILE", ""),
            environment.get("PARA_GROUP_FILE", ""),
        )
    return None


def _whole(environment: Mapping[str, str], name: str) -> int | None:
    text = environment.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise LoadFailed(f"{name} should be a whole number from 0 on, but is '{text[:40]}'")
    return int(text)
