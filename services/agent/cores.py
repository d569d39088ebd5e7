"""On how many of the host's cores the threads of this process run, from call to call."""

import contextlib
import os
import random
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from services.agent.core_choice import Look, better, neighbours, used_by_others

# How long a process stays where it is before it looks around.
_SECONDS = 0.5
_THREADS = Path("/proc/self/task")
_SELF, _HOST = Path("/proc/self/stat"), Path("/proc/stat")
# Which core the main thread was last on, counted behind the program's name (proc_pid_stat(5)).
_LAST_CORE = 36
# Of a core's fields: user, system, irq, softirq and steal (proc_stat(5)), in ticks.
_NORMAL = (0, 2, 5, 6, 7)
_TICKS = os.sysconf("SC_CLK_TCK")


def look() -> Look:
    """What is used of this host's cores by now."""
    used = {}
    for line in _HOST.read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name != "cpu":
            ticks = sum(int(fields[number]) for number in _NORMAL)
            used[int(name.removeprefix("cpu"))] = ticks / _TICKS
    return Look(time.monotonic(), used, time.process_time())


def _moves() -> bool:
    return random.random() < 1 / 2


class Cores:
    """All cores that the process may use, or few of them for calls that gain nothing by more.

    MindSpore's threads wait for each other's parts of a kernel by asking again and again. Where
    parts are small, one thread computes and the others ask, on cores that others could use.

    The system moves no thread from a core that it must stay on, so a process looks itself where
    there is room. Of two that find the same room at once, both would go there: each ``moves`` by
    chance.
    """

    def __init__(self, look: Callable[[], Look] = look, moves: Callable[[], bool] = _moves) -> None:
        self._look = look
        self._moves = moves
        self._all: Sequence[int] = ()
        self._count = 0
        self._first = -1
        """Of the few cores, when it is on few."""
        self._seen: Look | None = None

    def use(self, count: int) -> None:
        """Have all threads run on so many cores; 0: on all."""
        if count == self._count and (count == 0 or not self._is_time()):
            return
        if self._count == 0:
            self._all = sorted(os.sched_getaffinity(0))
        if count == 0 or count >= len(self._all):
            if self._count:
                run_on(self._all)
            self._count = 0
            return
        if self._is_time():
            self._choose(count)
        self._count = count
        run_on(neighbours(self._all, self._first, count))

    def _is_time(self) -> bool:
        return self._seen is None or time.monotonic() - self._seen.at >= _SECONDS

    def _choose(self, count: int) -> None:
        before, self._seen = self._seen, self._look()
        if before is None or self._first not in self._all:
            self._first = _last_core()
            return
        on = neighbours(self._all, self._first, count)
        found = better(self._all, on, used_by_others(before, self._seen, on))
        if found[0] != self._first and self._moves():
            self._first = found[0]


def run_on(cores: Collection[int]) -> None:
    """Run every thread of this process, and those that they start, on these cores alone."""
    for thread in _THREADS.iterdir():
        # One that has ended meanwhile needs nothing.
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread.name), cores)


def _last_core() -> int:
    return int(_SELF.read_text().rpartition(")")[2].split()[_LAST_CORE])
