"""Who is in the next run of a stage process."""

from hypothesis import given
from hypothesis import strategies as st

from services.worker.stages.line import Line, Part, deliver


def line(processes=1, seconds=0.0):
    """Works are pairs: the request's number, and how late its stage is."""
    return Line(
        processes, order_of=lambda work: (work[0], -work[1]), seconds_of=lambda work: seconds
    )


def waiting(made, work, count=1, *, shares=True):
    parts = [Part(work, [(number,)], shares) for number in range(count)]
    for part in parts:
        made.add(part)
    return parts


def test_older_requests_go_first_and_of_their_stages_the_latest():
    made = line()
    for work in [(2, 0), (1, 0), (1, 2), (1, 1)]:
        waiting(made, work)
    assert [made.take()[0].work for _ in range(4)] == [(1, 2), (1, 1), (1, 0), (2, 0)]
    assert made.take() == []


def test_what_came_back_goes_first():
    made = line()
    first, second, third = waiting(made, (1, 0), 3)
    assert made.take() == [first]
    assert made.take() == [second]
    made.put_back([first, second])
    assert [made.take() for _ in range(3)] == [[first], [second], [third]]


def test_short_functions_share_a_run_of_one_stage_of_one_request():
    made = line(seconds=0.001)
    parts = waiting(made, (1, 0), 10)
    waiting(made, (2, 0), 10)
    assert made.take() == parts[:5]


def test_long_ones_and_those_of_unknown_pace_go_one_by_one():
    for seconds in (0.0, 0.5):
        made = line(seconds=seconds)
        waiting(made, (1, 0), 10)
        assert len(made.take()) == 1


def test_chunks_of_a_batch_function_are_never_mixed():
    made = line(seconds=0.001)
    waiting(made, (1, 0), 10, shares=False)
    assert len(made.take()) == 1


@given(st.integers(1, 8), st.integers(1, 60), st.sets(st.integers(0, 59)))
def test_everybody_who_is_still_wanted_gets_a_turn_and_no_run_is_more_than_a_share(
    processes, count, gone
):
    made = line(processes, seconds=1e-6)
    parts = waiting(made, (1, 0), count)
    for number in gone & set(range(count)):
        parts[number].wanted = False
    taken = []
    while run := made.take():
        assert len(run) <= max(1, -(-(count - len(taken)) // processes))
        taken += run
    assert [each for each in taken if each.wanted] == [each for each in parts if each.wanted]
    assert made.next_work() is None


@given(st.lists(st.integers(1, 5), min_size=1), st.data())
def test_outcomes_reach_the_instances_that_they_belong_to(sizes, data):
    parts = [
        Part("work", [((at, number),) for number in range(size)], True)
        for at, size in enumerate(sizes)
    ]
    outcomes = [values for part in parts for values in part.instances]
    finished = []
    while outcomes:
        cut = data.draw(st.integers(1, len(outcomes)))
        finished += deliver(parts, outcomes[:cut])
        outcomes = outcomes[cut:]
    assert finished == parts
    assert all(part.outcomes == list(part.instances) for part in parts)
