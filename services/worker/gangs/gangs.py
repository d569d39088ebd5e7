"""(pure) Which agents form gangs, when gangs start, and when they end.

An agent offers one rank. As soon as every rank has an agent that is free, one of each form a
gang, which starts with an epoch of its own: epochs are never used twice, so whatever is said
of an epoch that is over means nothing. A gang serves when all its ranks are ready, and ends as
a whole when one of them is lost or fails; the others are free again. More agents than ranks form
several gangs, or wait for a place.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

# After an end the next start waits, twice as long each time, until a gang has served for a while.
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 30.0
STABLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Form:
    """These members, by rank, are to start as one gang."""

    epoch: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class End:
    """This gang is over: calls in its hands fail, and its members end their device processes."""

    epoch: int
    members: tuple[str, ...]
    """Those that are still there."""
    reason: str
    retry_at: float
    """No gang forms before."""


Instruction = Form | End


@dataclass(slots=True, eq=False)
class Gang:
    """One start of all ranks."""

    epoch: int
    members: tuple[str, ...]
    formed_at: float
    ready: set[str] = field(default_factory=set)
    serving_since: float | None = None

    @property
    def serves(self) -> bool:
        """Whether all its ranks are ready."""
        return self.serving_since is not None


class Gangs:
    """The gangs of one distributed model, and the agents that are free.

    Every event returns what is to be done, in order. Time is in seconds.
    """

    def __init__(self, rank_size: int, *, start_seconds: float) -> None:
        self._rank_size = rank_size
        self._start_seconds = start_seconds
        self._free: dict[int, deque[str]] = {rank: deque() for rank in range(rank_size)}
        self._ranks: dict[str, int] = {}
        self._gangs: dict[int, Gang] = {}
        self._next_epoch = 1
        self._retry_seconds = FIRST_RETRY_SECONDS
        self._retry_at = 0.0

    def __iter__(self) -> Iterator[Gang]:
        return iter(self._gangs.values())

    @property
    def missing(self) -> tuple[int, ...]:
        """Ranks without a free agent, which keep the next gang from forming."""
        return tuple(rank for rank, members in self._free.items() if not members)

    def serves(self, epoch: int) -> bool:
        """Whether all ranks of that start are ready."""
        gang = self._gangs.get(epoch)
        return gang is not None and gang.serves

    def joined(self, member: str, rank: int, now: float, *, epoch: int = 0) -> list[Instruction]:
        """An agent offers a rank; one that offered one before starts anew.

        ``epoch`` is the latest one that it heard of, from this worker or one before it.
        """
        done = self.left(member, "it joined again", now)
        self._next_epoch = max(self._next_epoch, epoch + 1)
        self._ranks[member] = rank
        self._free[rank].append(member)
        return done + self._form(now)

    def left(self, member: str, reason: str, now: float) -> list[Instruction]:
        """An agent is gone."""
        rank = self._ranks.pop(member, None)
        if rank is None:
            return []
        gang = next((each for each in self._gangs.values() if member in each.members), None)
        if gang is None:
            self._free[rank].remove(member)
            return []
        return self._end(gang, f"rank {rank}: {reason}", now)

    def ready(self, member: str, epoch: int, now: float) -> list[Instruction]:
        """A rank of that epoch has loaded its part and is ready for calls."""
        gang = self._gangs.get(epoch)
        if gang is not None and member in gang.members and not gang.serves:
            gang.ready.add(member)
            if len(gang.ready) == self._rank_size:
                gang.serving_since = now
        return []

    def failed(self, member: str, epoch: int, reason: str, now: float) -> list[Instruction]:
        """A rank of that epoch cannot start, or its device process ended."""
        gang = self._gangs.get(epoch)
        if gang is None or member not in gang.members:
            return []
        return self._end(gang, f"rank {self._ranks[member]}: {reason}", now)

    def refused(self, epoch: int, reason: str, now: float) -> list[Instruction]:
        """The ranks of that epoch do not fit together, or do not do as they are told."""
        gang = self._gangs.get(epoch)
        return [] if gang is None else self._end(gang, reason, now)

    def due_at(self) -> float | None:
        """When ``tick`` must be called at the latest; None while nothing waits for time."""
        starts = [
            gang.formed_at + self._start_seconds for gang in self._gangs.values() if not gang.serves
        ]
        if not self.missing:
            starts.append(self._retry_at)
        return min(starts, default=None)

    def tick(self, now: float) -> list[Instruction]:
        """Time has passed: starts that took too long end, and a waited-for start begins."""
        done: list[Instruction] = []
        for gang in list(self._gangs.values()):
            if not gang.serves and now >= gang.formed_at + self._start_seconds:
                slow = [str(self._ranks[each]) for each in gang.members if each not in gang.ready]
                late = f"not ready within {self._start_seconds:g} s: ranks {', '.join(slow)}"
                done += self._end(gang, late, now)
        return done + self._form(now)

    def _form(self, now: float) -> list[Instruction]:
        formed: list[Instruction] = []
        while now >= self._retry_at and not self.missing:
            members = tuple(self._free[rank].popleft() for rank in range(self._rank_size))
            epoch, self._next_epoch = self._next_epoch, self._next_epoch + 1
            self._gangs[epoch] = Gang(epoch, members, now)
            formed.append(Form(epoch, members))
        return formed

    def _end(self, gang: Gang, reason: str, now: float) -> list[Instruction]:
        del self._gangs[gang.epoch]
        if gang.serving_since is not None and now - gang.serving_since >= STABLE_SECONDS:
            self._retry_seconds = FIRST_RETRY_SECONDS
        self._retry_at = now + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, LONGEST_RETRY_SECONDS)
        survivors = tuple(each for each in gang.members if each in self._ranks)
        for member in survivors:
            self._free[self._ranks[member]].append(member)
        return [End(gang.epoch, survivors, reason, self._retry_at)]
