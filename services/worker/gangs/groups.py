"""(pure) Who computes together in a gang, and what each of its members is told."""

from dataclasses import dataclass, replace

from shared.membership import Assigned, Device, GangPart
from shared.servable import Distribution

# Only MindSpore itself meets through a scheduler.
_MET_FORMAT = "mindir"
_PORT_TO_BE_CHOSEN = ":0"


@dataclass(frozen=True, slots=True)
class Group:
    """Ranks that take the same inputs and run collectives with one another."""

    ranks: range
    stages: int
    """How many stages of the model it is."""

    @property
    def leader(self) -> int:
        """The rank whose agent runs the scheduler."""
        return self.ranks[0]


def groups_of(distribution: Distribution, device_type: str) -> tuple[Group, ...]:
    """The groups of a gang, in the order of their stages.

    One for each stage where the worker carries what stages give to one another, and one
    of all ranks where the graphs do so themselves.
    """
    relays = distribution.relay_stages
    if relays is None:
        relays = device_type == "CPU"
    if not relays:
        return (Group(range(distribution.rank_size), distribution.stage_size),)
    size = distribution.group_size
    return tuple(
        Group(range(first, first + size), 1) for first in range(0, distribution.rank_size, size)
    )


def takes_inputs(group: Group, rank: int) -> bool:
    """Whether a rank belongs to the first stage of its group."""
    return rank - group.ranks.start < len(group.ranks) // group.stages


def meets(group: Group, assigned: Assigned, device: Device | None, rank_table: str) -> bool:
    """Whether the group's collectives need a scheduler.

    Those of Ascend find one another by the rank table where there is one.
    """
    formats = {files.format for files in assigned.models}
    by_table = device is not None and device.type == "Ascend" and bool(rank_table)
    return len(group.ranks) > 1 and _MET_FORMAT in formats and not by_table


def assigned_to(
    rank: int,
    group: Group,
    assigned: Assigned,
    *,
    epoch: int,
    rank_size: int,
    scheduler: str,
    rank_table: str,
) -> Assigned:
    """What the agent of a rank must hold in an epoch."""
    part = GangPart(
        epoch, rank, rank_size, rank - group.ranks.start, len(group.ranks), scheduler, rank_table
    )
    models = assigned.models
    if group.ranks.start:
        # What another stage gives has a row for each row.
        models = tuple(replace(files, without_batch_dim_inputs=()) for files in models)
    return replace(assigned, models=models, gang=part)


def scheduler_at(leader_address: str) -> str:
    """Where the leader's agent is to run the scheduler: on its own host, at a port it chooses."""
    return leader_address.rpartition(":")[0] + _PORT_TO_BE_CHOSEN
