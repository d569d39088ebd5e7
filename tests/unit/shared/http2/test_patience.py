"""What a server does about clients that stall or are silent; time is an argument."""

from hypothesis import given
from hypothesis import strategies as st

from shared.wire.http2.limits import Limits
from shared.wire.http2.patience import Patience, Step

LIMITS = Limits(forgiven_per_second=10, stalled_seconds=30.0, silent_seconds=60.0)


def patience():
    return Patience(LIMITS, 0.0)


def visits(made, times, *, heard_at=None, stalled_bytes=0):
    """What visits at ``times`` decide; the client has just been heard unless said otherwise."""
    return [
        made.visit(now, heard_at=now if heard_at is None else heard_at, stalled_bytes=stalled_bytes)
        for now in times
    ]


def test_a_client_that_takes_and_talks_is_left_alone():
    assert visits(patience(), [100.0, 200.0]) == [Step(1000), Step(1000)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_what_is_forgiven_follows_the_time_between_visits(pauses):
    made, now = patience(), 0.0
    for pause in pauses:
        now += pause
        assert made.visit(now, heard_at=now, stalled_bytes=0).forgiven == 10 * pause


def test_data_that_waits_without_progress_ends_the_connection():
    *_, before, after = visits(patience(), [2.0, 32.0, 32.1], stalled_bytes=5)
    assert before.end is None
    assert after.end == "answers waited to be taken for too long"


def test_any_progress_of_what_waits_starts_the_clock_anew():
    made = patience()
    for second in range(0, 200, 20):
        assert made.visit(second, heard_at=second, stalled_bytes=1000 - second).end is None
    assert made.visit(211.0, heard_at=211.0, stalled_bytes=820).end is not None


def test_data_that_waited_and_left_is_forgotten():
    made = patience()
    visits(made, [2.0, 30.0], stalled_bytes=5)
    visits(made, [31.0])
    assert visits(made, [32.0, 62.0], stalled_bytes=5)[-1].end is None
    assert visits(made, [62.1], stalled_bytes=5)[-1].end is not None


def test_a_silent_client_is_pinged_once_and_then_gone():
    steps = visits(patience(), [59.0, 60.0, 61.0, 120.0, 121.0], heard_at=0.0)
    assert [step.ping for step in steps] == [False, True, False, False, False]
    assert [step.end for step in steps] == [None] * 4 + ["silent for too long"]


def test_a_client_heard_again_is_pinged_again_before_it_is_gone():
    made = patience()
    visits(made, [60.0], heard_at=0.0)
    assert visits(made, [61.0], heard_at=60.5) == [Step(10)]
    assert visits(made, [190.0], heard_at=60.5) == [Step(1290, ping=True)]
    assert visits(made, [191.0], heard_at=60.5)[-1].end == "silent for too long"
