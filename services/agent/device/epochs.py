"""(pure) What an agent makes of epochs: which parts of gangs it takes on, which batches it runs."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from shared.membership import Assigned, Assignment, GangPart, Holding


@dataclass(frozen=True, slots=True)
class Change:
    """What a new assignment asks for."""

    end: tuple[Assigned, ...]
    begin: tuple[Assigned, ...]
    refused: tuple[Holding, ...]
    latest_epoch: int
    """Of all that were heard of."""


def change(
    held: Collection[Assigned], wanted: Assignment, latest_epoch: int, rank: int | None
) -> Change:
    """What to do about an assignment when the agent runs ``rank`` (None: of no gang).

    An epoch begins once, and only if it is later than all before; what is refused disturbs
    nothing that is held of the same servable version.
    """
    new = [each for each in wanted.servables if each not in held]
    refused = tuple(
        Holding(each.what, "failed", reason, epoch=each.gang.epoch)
        for each in new
        if each.gang and (reason := part_refusal(each.gang, latest_epoch, rank))
    )
    over = {(each.what, each.epoch) for each in refused}
    undisturbed = {what for what, _ in over}
    return Change(
        tuple(
            each for each in held if each not in wanted.servables and each.what not in undisturbed
        ),
        tuple(each for each in new if not each.gang or (each.what, each.gang.epoch) not in over),
        refused,
        max([latest_epoch, *_epochs(wanted.servables)]),
    )


def part_refusal(part: GangPart, latest_epoch: int, rank: int | None) -> str:
    """Why this part of a gang is not taken on; empty if it is."""
    if rank is None:
        return f"this agent was started without a rank, and was assigned rank {part.rank}"
    if part.rank != rank:
        return f"this agent runs rank {rank}, and was assigned rank {part.rank}"
    if part.epoch <= latest_epoch:
        return f"epoch {part.epoch} is over, rank {rank} was at epoch {latest_epoch}"
    return ""


def batch_refusal(epoch: int, gang: GangPart | None) -> str:
    """Why a batch meant for ``epoch`` is not run; empty if it is."""
    if gang is None:
        return f"a batch of epoch {epoch}, but this agent serves it on its own" if epoch else ""
    if epoch == gang.epoch:
        return ""
    if not epoch:
        return f"a batch without an epoch, but this is rank {gang.rank} at epoch {gang.epoch}"
    if epoch < gang.epoch:
        return f"epoch {epoch} is over, rank {gang.rank} is at epoch {gang.epoch}"
    return f"epoch {epoch} has not begun, rank {gang.rank} is at epoch {gang.epoch}"


def _epochs(many: Iterable[Assigned]) -> Iterable[int]:
    return (each.gang.epoch for each in many if each.gang)
