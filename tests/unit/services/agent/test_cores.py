"""Threads of a device process on all cores, or on few of them where there is room."""

import os
import threading
from collections.abc import Iterator

import pytest

from services.agent import cores as module
from services.agent.core_choice import Look, better, neighbours, used_by_others
from services.agent.cores import Cores, look, run_on

ALL = sorted(os.sched_getaffinity(0))
several = pytest.mark.skipif(len(ALL) < 2, reason="there is one core")


@pytest.fixture
def another_thread() -> Iterator[int]:
    """A thread beside this one, by its id; afterwards all may run on all cores again."""
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    gate.set()
    thread.join()
    run_on(ALL)


def on(thread: int) -> list[int]:
    """The cores of this thread and of another one, which are the same."""
    found = sorted(os.sched_getaffinity(0))
    assert sorted(os.sched_getaffinity(thread)) == found
    return found


@several
def test_all_threads_run_on_one_core_and_on_all_again(another_thread):
    cores = Cores(moves=lambda: False)
    cores.use(1)
    (core,) = on(another_thread)
    cores.use(0)
    assert on(another_thread) == ALL
    cores.use(1)
    assert on(another_thread) == [core]


@several
def test_calls_on_one_core_and_on_more_in_turns(another_thread):
    cores = Cores()
    for count in (1, len(ALL), 1, 0, 0, len(ALL) + 1, 1):
        cores.use(count)
        assert len(on(another_thread)) == (1 if count == 1 else len(ALL))


@pytest.mark.skipif(len(ALL) < 3, reason="there are fewer than three cores")
def test_calls_on_one_core_and_on_two_in_turns(another_thread):
    cores = Cores()
    for count in (1, 2, 1, 2, 0):
        cores.use(count)
        assert len(on(another_thread)) == (count or len(ALL))


class Host:
    """What others use of two cores, as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 100.0
        self.used = dict.fromkeys(ALL, 0.0)
        self.own = 0.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.at)

    def look(self) -> Look:
        return Look(self.at, dict(self.used), self.own)

    def work(self, seconds: float, core: int, others: float) -> None:
        """We use all that the others leave of the core that we are on."""
        self.at += seconds
        self.used[core] += seconds
        self.own += seconds - others


@several
@pytest.mark.parametrize(
    ("others", "moves", "leaves"), [(0.5, True, True), (0.5, False, False), (0.0, True, False)]
)
def test_a_process_moves_to_where_there_is_more_room_after_its_time(
    another_thread, monkeypatch, others, moves, leaves
):
    host = Host(monkeypatch)
    cores = Cores(host.look, lambda: moves)
    cores.use(1)
    (core,) = on(another_thread)
    host.work(0.4, core, others=0.4 * others)
    cores.use(1)
    assert on(another_thread) == [core]
    host.work(0.2, core, others=0.2 * others)
    cores.use(1)
    (later,) = on(another_thread)
    assert (later != core) == leaves


def test_a_look_tells_what_this_process_uses():
    before = look()
    while look().own < before.own + 0.2:
        pass
    after = look()
    assert set(ALL) <= set(after.used)
    # The host counts in hundredths of a second, and processes with a low priority not at all.
    spent = sum(after.used[core] - before.used[core] for core in after.used)
    low = os.getpriority(os.PRIO_PROCESS, 0) > 0
    assert spent >= (0.0 if low else after.own - before.own - 0.05)


def test_what_others_use_is_without_what_this_process_does():
    before = Look(0.0, {0: 5.0, 1: 7.0, 2: 1.0}, 2.0)
    after = Look(2.0, {0: 6.0, 1: 8.5, 2: 1.0}, 3.0)
    assert used_by_others(before, after, [0]) == {0: 0.0, 1: 0.75, 2: 0.0}
    assert used_by_others(before, after, [0, 1]) == {0: 0.25, 1: 0.5, 2: 0.0}


@pytest.mark.parametrize(
    ("shares", "found"),
    [
        ({}, [4]),
        ({4: 0.1, 7: 0.0}, [4]),
        ({4: 0.5, 7: 0.0, 2: 0.1}, [7]),
        ({4: 0.5, 7: 0.4, 2: 0.4}, [4]),
    ],
)
def test_a_better_core_has_clearly_more_room(shares, found):
    assert better([2, 4, 7], [4], {2: 0.3, **shares}) == found


def test_two_cores_are_better_together():
    shares = {0: 0.5, 1: 0.9, 2: 0.1, 3: 0.1}
    assert better([0, 1, 2, 3], [0, 1], shares) == [2, 3]


@pytest.mark.parametrize(
    ("first", "count", "found"), [(4, 1, [4]), (4, 2, [4, 7]), (7, 2, [7, 2]), (5, 2, [2, 4])]
)
def test_neighbours_go_around_the_cores_that_there_are(first, count, found):
    assert neighbours([2, 4, 7], first, count) == found
