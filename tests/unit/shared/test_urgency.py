"""By when a request must be answered, and who sees to it."""

import pytest

from shared.deadline import Deadline
from shared.urgency import Urgency


def test_without_a_limit_nothing_changes():
    urgency = Urgency(Deadline(5.0), 2)
    assert urgency.within(None, now=0.0) is urgency


@pytest.mark.parametrize("own", [None, Deadline(9.0)])
def test_an_earlier_limit_is_kept_here(own):
    assert Urgency(own, 2).within(3.0, now=1.0) == Urgency(Deadline(4.0), 2, is_kept=False)


def test_a_later_limit_leaves_the_deadline_to_whoever_keeps_it():
    assert Urgency(Deadline(4.0)).within(3.0, now=1.0) == Urgency(Deadline(4.0))
