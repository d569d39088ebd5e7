"""Threads of a device process on all cores, or on few of them."""

import os
import threading
from collections.abc import Iterator

import pytest

from services.agent.cores import Cores, neighbours, run_on

ALL = os.sched_getaffinity(0)


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


@pytest.mark.skipif(len(ALL) < 2, reason="there is one core")
def test_all_threads_run_on_one_core_and_on_all_again(another_thread):
    cores = Cores()
    cores.use(1)
    assert os.sched_getaffinity(0) == os.sched_getaffinity(another_thread)
    assert len(os.sched_getaffinity(0)) == 1
    cores.use(0)
    assert os.sched_getaffinity(0) == os.sched_getaffinity(another_thread) == ALL


@pytest.mark.skipif(len(ALL) < 2, reason="there is one core")
def test_a_core_is_chosen_anew_after_a_second(another_thread):
    times = [0.0]
    cores = Cores(lambda: times[-1])
    used = []
    for at in (0.0, 0.9, 1.0, 1.1, 1.9, 2.2):
        times.append(at)
        cores.use(1)
        used.append(len(os.sched_getaffinity(another_thread)))
    assert used == [1, 1, len(ALL), 1, 1, len(ALL)]


@pytest.mark.skipif(len(ALL) < 2, reason="there is one core")
def test_calls_on_one_core_and_on_more_in_turns(another_thread):
    cores = Cores()
    # There may be no third core to leave out.
    for count, used in ((1, 1), (len(ALL), len(ALL)), (1, 1), (0, len(ALL)), (0, len(ALL))):
        cores.use(count)
        assert len(os.sched_getaffinity(another_thread)) == used


@pytest.mark.skipif(len(ALL) < 3, reason="there are fewer than three cores")
def test_calls_on_one_core_and_on_two_in_turns(another_thread):
    cores = Cores()
    for count in (1, 2, 1, 2, 0):
        cores.use(count)
        assert len(os.sched_getaffinity(another_thread)) == (count or len(ALL))


def test_what_has_no_more_cores_than_asked_for_keeps_them(another_thread):
    Cores().use(len(ALL))
    assert os.sched_getaffinity(0) == os.sched_getaffinity(another_thread) == ALL


@pytest.mark.parametrize(
    ("first", "count", "found"), [(4, 1, [4]), (4, 2, [4, 7]), (7, 2, [7, 2]), (5, 2, [2, 4])]
)
def test_neighbours_go_around_the_cores_that_there_are(first, count, found):
    assert neighbours([2, 4, 7], first, count) == found
