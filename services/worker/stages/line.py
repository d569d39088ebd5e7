"""(pure) Who is in the next run of a stage process.

The oldest request goes first, and of its stages the latest: what was begun is finished, and
functions that need a core run beside those of earlier stages that wait. A run takes several
parts that are at the same stage of the same request: between its instances the process need
not wait for the worker, which takes longer than many functions do. It never takes so many
that another process would soon be idle beside it, nor more than take long together.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.worker.instances import Outcome, Values

# What the way to the worker and back costs is little beside this.
_RUN_SECONDS = 0.02

Work = TypeVar("Work")


@dataclass(slots=True, eq=False)
class Part(Generic[Work]):
    """Instances of one request at one stage; chunks of a batch function are not mixed."""

    work: Work
    instances: Sequence[Values]
    shares: bool
    """Whether it may share a run with others of the same work."""
    outcomes: list[Outcome] = field(default_factory=list)
    wanted: bool = True
    """Whether anybody waits for it."""
    imports: int = 0
    """Processes that ended while they imported what it needs."""

    @property
    def rest(self) -> Sequence[Values]:
        """The instances without an outcome yet."""
        return self.instances[len(self.outcomes) :]


class Line(Generic[Work]):
    """The parts that wait for a process."""

    def __init__(
        self,
        processes: int,
        *,
        order_of: Callable[[Work], tuple[int, int]],
        seconds_of: Callable[[Work], float],
    ) -> None:
        self._processes = processes
        self._order_of = order_of
        """The least goes first."""
        self._seconds_of = seconds_of
        """What one instance takes; 0 while nobody knows."""
        self._parts: dict[Work, deque[Part[Work]]] = {}
        self._works: list[tuple[tuple[int, int], int, Work]] = []
        """A heap; one whose parts have all been taken may still lie in it."""
        self._count = itertools.count()

    def add(self, part: Part[Work]) -> None:
        """A part that came."""
        self._waiting(part.work).append(part)

    def put_back(self, parts: Sequence[Part[Work]]) -> None:
        """Parts of one run that were taken and not finished: they came first."""
        if parts:
            self._waiting(parts[0].work).extendleft(reversed(parts))

    def next_work(self) -> Work | None:
        """Whose parts ``take`` would give; None when nobody waits."""
        while self._works:
            work = self._works[0][-1]
            waiting = self._parts[work]
            while waiting and not waiting[0].wanted:
                waiting.popleft()
            if waiting:
                return work
            heapq.heappop(self._works)
            del self._parts[work]
        return None

    def take(self) -> list[Part[Work]]:
        """The parts of the next run; none when nobody waits."""
        work = self.next_work()
        if work is None:
            return []
        waiting = self._parts[work]
        return [waiting.popleft() for _ in range(self._most(waiting))]

    def _waiting(self, work: Work) -> deque[Part[Work]]:
        waiting = self._parts.get(work)
        if waiting is None:
            waiting = self._parts[work] = deque()
            heapq.heappush(self._works, (self._order_of(work), next(self._count), work))
        return waiting

    def _most(self, waiting: Sequence[Part[Work]]) -> int:
        """How many go together."""
        first = waiting[0]
        seconds = self._seconds_of(first.work) * len(first.rest)
        if not first.shares or not seconds:
            return 1
        # Half of a fair share: the last runs are short, so that all processes end together.
        share = -(-len(waiting) // (2 * self._processes))
        return max(1, min(int(_RUN_SECONDS / seconds), share))


def deliver(parts: Sequence[Part[Work]], outcomes: Sequence[Outcome]) -> list[Part[Work]]:
    """Give the next outcomes of a run to its parts, in order; the parts that are finished now."""
    given, finished = 0, []
    for part in parts:
        missing = len(part.rest)
        if not missing:
            continue
        part.outcomes += outcomes[given : given + missing]
        given += missing
        if part.rest:
            break
        finished.append(part)
    return finished
