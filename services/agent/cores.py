"""On how many of the host's cores the threads of this process run, from call to call."""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

# For so long a process stays on the cores that it was on; others may have become idle meanwhile.
_SECONDS = 1.0
_THREADS = Path("/proc/self/task")
_SELF = Path("/proc/self/stat")
# The core that the main thread was last on, counted behind the program's name (proc_pid_stat(5)).
_CORE = 36


class Cores:
    """All cores that the process may use, or few of them for calls that gain nothing by more.

    MindSpore's threads wait for each other's parts of a kernel by asking again and again. Where
    parts are small, one thread computes and the others ask, on cores that others could use.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._all: list[int] = []
        self._count = 0
        self._until = 0.0

    def use(self, count: int) -> None:
        """Have all threads run on so many cores, near the one that this one is on; 0: on all."""
        if count == self._count and (count == 0 or self._now() < self._until):
            return
        if self._count == 0:
            self._all = sorted(os.sched_getaffinity(0))
        if count in (0, self._count) or count >= len(self._all):
            # After its time is over the next call stays where the system finds room for this one.
            if self._count:
                self._count = 0
                run_on(self._all)
            return
        self._count, self._until = count, self._now() + _SECONDS
        run_on(neighbours(self._all, _current_core(), count))


def neighbours(cores: Sequence[int], first: int, count: int) -> list[int]:
    """(pure) ``count`` of these cores, from ``first`` on, and around from the last to the first."""
    start = cores.index(first) if first in cores else 0
    return [cores[(start + n) % len(cores)] for n in range(count)]


def run_on(cores: Collection[int]) -> None:
    """Run every thread of this process, and those that they start, on these cores alone."""
    for thread in _THREADS.iterdir():
        # One that has ended meanwhile needs nothing.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


def _current_core() -> int:
    return int(_SELF.read_text().rpartition(")")[2].split()[_CORE])
