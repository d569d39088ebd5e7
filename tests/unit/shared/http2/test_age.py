"""When a connection is made anew; time is an argument."""

from hypothesis import given
from hypothesis import strategies as st

from shared.wire.http2.age import Age, Stage
from shared.wire.interface import ConnectionAge

LIMIT = ConnectionAge(seconds=100.0, grace_seconds=30.0)


def test_a_connection_is_young_then_old_then_over():
    age = Age(LIMIT, born_at=1000.0, chance=0.5)
    stages = [age.stage(1000.0 + after) for after in (0.0, 99.9, 100.1, 129.9, 130.1, 1e9)]
    assert stages == [Stage.YOUNG, Stage.YOUNG, Stage.OLD, Stage.OLD, Stage.OVER, Stage.OVER]


@given(st.floats(0, 1))
def test_chance_moves_it_by_a_tenth_at_most(chance):
    age = Age(LIMIT, born_at=0.0, chance=chance)
    assert age.stage(89.9) is Stage.YOUNG
    assert age.stage(110.1) is Stage.OLD
    assert age.stage(119.9) is Stage.OLD
    assert age.stage(140.1) is Stage.OVER


def test_connections_that_came_together_leave_one_after_another():
    ages = [Age(LIMIT, born_at=0.0, chance=n / 10) for n in range(11)]
    old = [sum(age.stage(now) is Stage.OLD for age in ages) for now in range(90, 112, 2)]
    assert old == sorted(old)
    assert len(set(old)) > 5
