"""Who is in the next batch: pure decisions, time is an argument."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.batching.batcher import Batcher
from services.worker.batching.lines import Lines
from services.worker.batching.parts import Part, Submission
from services.worker.batching.policy import BatchingPolicy
from shared.deadline import Deadline
from shared.errors import Overloaded

ROW = (np.zeros(2, np.float32),)
PLENTY = 1 << 30


def submission(rows, at=0.0, group="g", deadline=None, priority=0):
    return Submission(group, [ROW] * rows, deadline and Deadline(deadline), at, priority)


def take(batcher, max_rows=100, now=0.0):
    return batcher.take(max_rows=max_rows, now=now)


def sizes(batcher, max_rows=100):
    """Rows of one batch after another."""
    batches = iter(lambda: take(batcher, max_rows).batch, None)
    return [batch.rows for batch in batches]


def admitted(*submissions, limit=1000, max_bytes=PLENTY, **knobs):
    batcher = Batcher("the model", BatchingPolicy(limit, **knobs), max_bytes=max_bytes)
    for each in submissions:
        batcher.admit(each)
    return batcher


def test_rows_of_different_callers_share_a_batch():
    first, second = submission(2), submission(3, at=1)
    batch = take(admitted(first, second)).batch
    assert [(part.submission, part.start, part.stop) for part in batch.parts] == [
        (first, 0, 2),
        (second, 0, 3),
    ]
    assert batch.rows == 5


def test_a_caller_with_more_rows_than_fit_is_split_and_goes_on_in_the_next_batch():
    big, small = submission(5), submission(1, at=1)
    batcher = admitted(big, small)
    sizes = [[(p.submission, p.stop - p.start) for p in take(batcher, 3).batch.parts] for _ in "ab"]
    assert sizes == [[(big, 3)], [(big, 2), (small, 1)]]
    assert take(batcher, 3).batch is None


def test_the_group_whose_oldest_row_waits_longest_goes_first():
    young, old = submission(1, at=2, group="a"), submission(1, at=1, group="b")
    batcher = admitted(young, old)
    assert [take(batcher).batch.parts[0].submission for _ in "ab"] == [old, young]


def test_groups_never_mix():
    batcher = admitted(submission(1, group="a"), submission(1, group="b"))
    assert take(batcher).batch.rows == 1


def test_a_full_queue_refuses_at_once_and_says_how_full_it_is():
    batcher = admitted(submission(7), limit=10)
    with pytest.raises(Overloaded, match="the model: 7 rows wait already, 4 more would exceed"):
        batcher.check_room(4)
    batcher.check_room(3)


def test_a_request_larger_than_the_queue_is_let_in_when_nobody_waits():
    batcher = admitted(limit=10)
    batcher.check_room(25)
    batcher.admit(submission(25))
    assert not batcher.has_room(1)
    assert sizes(batcher, 10) == [10, 10, 5]


def test_who_left_is_not_in_the_batch_and_leaves_room():
    gone, stays = submission(6), submission(1, at=1)
    batcher = admitted(gone, stays, limit=7)
    batcher.withdraw(gone)
    assert batcher.queued_rows == 1
    batcher.admit(submission(6, at=2))
    assert take(batcher).batch.rows == 7


def test_who_left_does_not_make_others_look_older_than_they_are():
    leaves = submission(1, at=1)
    batcher = admitted(leaves, submission(1, at=5, group="b"))
    batcher.withdraw(leaves)
    assert batcher.next_turn() == 5


def test_who_expired_is_reported_and_not_in_the_batch():
    late, fine = submission(2, deadline=1.0), submission(1, at=0.5, deadline=9.0)
    taken = take(admitted(late, fine), now=2.0)
    assert taken.expired == (late,)
    assert [part.submission for part in taken.batch.parts] == [fine]


def test_a_batch_that_did_not_run_goes_back_in_front():
    first, second = submission(2), submission(2, at=1)
    batcher = admitted(first, second)
    batch = take(batcher, 3).batch
    batcher.restore(batch)
    again = take(batcher, 4).batch
    assert [(part.submission, part.start, part.stop) for part in again.parts] == [
        (first, 0, 2),
        (second, 0, 1),
        (second, 1, 2),
    ]


def test_parts_restored_alone_share_no_batch():
    batcher = admitted(submission(1), submission(1, at=1), submission(1, at=2))
    batcher.restore(take(batcher, 2).batch, alone=True)
    assert [take(batcher).batch.rows for _ in "abc"] == [1, 1, 1]


def test_a_batch_stays_below_its_bytes_but_has_at_least_one_row():
    assert sizes(admitted(submission(5), max_bytes=3 * 8)) == [3, 2]
    assert sizes(admitted(submission(3), max_bytes=1)) == [1, 1, 1]


@pytest.mark.parametrize(
    ("waiting", "batches"),
    [(1, [1]), (3, [3]), (4, [4]), (7, [4, 3]), (8, [8]), (9, [8, 1]), (21, [8, 8, 4, 1])],
)
def test_a_batch_has_the_largest_preferred_size_that_so_many_rows_wait_for(waiting, batches):
    knobs = {"preferred_batch_sizes": (4, 8)}
    assert sizes(admitted(submission(waiting), **knobs), 16) == batches
    one_by_one = [submission(1) for _ in range(waiting)]
    assert sizes(admitted(*one_by_one, **knobs), 16) == batches


def test_preferred_sizes_above_what_an_agent_takes_do_not_count():
    assert sizes(admitted(submission(9), preferred_batch_sizes=(4, 8)), 6) == [4, 4, 1]


def order(batcher):
    """Who is at the head of one batch after another of one row."""
    batches = iter(lambda: take(batcher, 1).batch, None)
    return [batch.parts[0].submission for batch in batches]


def test_higher_priorities_go_first_and_rows_of_one_level_in_the_order_they_came():
    low, high = [submission(1, at=n, priority=3) for n in (0, 1)], submission(1, at=3, priority=1)
    plain, also_high = submission(1, at=2), submission(1, at=4, priority=1)
    waiting = admitted(*low, plain, high, also_high, priority_levels=3, priority_aging_seconds=10)
    assert order(waiting) == [high, also_high, plain, *low]


def test_a_batch_with_room_takes_rows_of_every_level():
    low, high = submission(2, priority=3), submission(2, at=1, priority=1)
    batch = take(admitted(low, high, priority_levels=3)).batch
    assert [part.submission for part in batch.parts] == [high, low]


def test_so_long_a_wait_makes_up_for_a_level():
    low = submission(1, priority=2)
    rivals = [submission(1, at=at, priority=1) for at in (4.9, 5.1)]
    waiting = admitted(low, *rivals, priority_levels=2, priority_aging_seconds=5.0)
    assert order(waiting) == [rivals[0], low, rivals[1]]


@pytest.mark.parametrize(
    ("knobs", "level"),
    [
        ({"priority_levels": 3}, 2),
        ({"priority_levels": 2}, 1),
        ({"priority_levels": 3, "default_priority_level": 3}, 3),
    ],
)
def test_rows_that_ask_for_no_level_have_the_default_one(knobs, level):
    named, plain = submission(1, at=1, priority=level), submission(1, at=1)
    assert order(admitted(named, plain, **knobs)) == [named, plain]
    named, plain = submission(1, at=1, priority=level), submission(1, at=1)
    assert order(admitted(plain, named, **knobs)) == [plain, named]


def test_a_level_that_the_model_does_not_have_counts_as_its_lowest():
    beyond, high = submission(1, priority=9), submission(1, at=1, priority=1)
    assert order(admitted(beyond, high, priority_levels=2)) == [high, beyond]


def test_a_rare_shape_waits_for_what_is_older_and_for_nothing_else():
    batcher = admitted(*[submission(1, at=n, group="common") for n in range(20)])
    rare = submission(1, at=10.5, group="rare")
    batcher.admit(rare)
    batches = 0
    while all(part.submission is not rare for part in take(batcher, 4).batch.parts):
        batches += 1
        for _ in range(4):
            batcher.admit(submission(1, at=20 + batches, group="common"))
    assert batches == 3  # rows 0 to 11: the last of them began before


def test_a_stream_of_high_priority_does_not_starve_the_lowest_level():
    low = submission(1, priority=3)
    batcher = admitted(low, priority_levels=3, priority_aging_seconds=5.0)
    for second in range(100):
        batcher.admit(submission(1, at=second, priority=1))
        if take(batcher, 1).batch.parts[0].submission is low:
            break
    assert second == 10


def test_a_full_batch_goes_ahead_at_once_and_another_never_without_a_delay():
    assert admitted().goes_ahead_at(4) is None
    assert admitted(submission(3, at=7)).goes_ahead_at(4) is None
    assert admitted(submission(4, at=7)).goes_ahead_at(4) == 7
    preferred = admitted(submission(2, at=7), preferred_batch_sizes=(2,))
    assert preferred.goes_ahead_at(4) == 7


def test_a_batch_goes_ahead_when_its_oldest_row_was_held_back_for_the_delay():
    low, high = submission(1, at=3, priority=2), submission(1, at=4, priority=1)
    batcher = admitted(low, high, priority_levels=2, max_queue_delay_seconds=0.5)
    assert batcher.goes_ahead_at(8) == 3.5
    batcher.withdraw(low)
    assert batcher.goes_ahead_at(8) == 4.5
    other_shape = submission(1, at=1, group="other", priority=2)
    batcher.admit(other_shape)
    assert batcher.goes_ahead_at(8) == 4.5
    take(batcher)
    assert batcher.goes_ahead_at(8) == 1.5


def test_lines_forget_heads_that_are_none_any_more():
    lines = Lines()

    def add(turn, group):
        one = submission(1, group=group)
        one.turn, one.waiting = turn, 1
        lines.add(Part(one, 0, 1))
        return one

    add(1e6, "g")
    middle = add(1e5, "other")
    for number in range(10_000):
        young = add(float(number), "g")
        assert lines.first().pop(0).submission is young
        assert lines.first()[0].submission is middle
    assert len(lines._heads) < 200


class Played:
    """A batcher, and beside it all rows in one list: what it takes must be what that says."""

    AGING, LEVELS = 3.0, 3

    def __init__(self, preferred):
        self.policy = BatchingPolicy(
            10_000,
            preferred_batch_sizes=preferred,
            priority_levels=self.LEVELS,
            priority_aging_seconds=self.AGING,
        )
        self.batcher = Batcher("m", self.policy)
        self.admitted = []
        self.waiting = []
        self.gone = set()
        self.taken = []
        self.last = None

    def turn(self, row):
        level = row[0].priority or 2
        return row[0].submitted_at + (level - 1) * self.AGING

    def wanted(self, group):
        """Rows of a group in their order: Python's sort keeps that of rows with equal turns."""
        return sorted((row for row in self.waiting if row[0].group == group), key=self.turn)

    def admit(self, now, rows, group):
        self.admitted.append(submission(rows, at=float(now), group=group, priority=now % 4))
        self.batcher.admit(self.admitted[-1])
        self.waiting += [(self.admitted[-1], row) for row in range(rows)]

    def take(self, now, max_rows, _):
        self.last = take(self.batcher, max_rows).batch
        assert (self.last is None) == (not self.waiting)
        if self.last is None:
            return
        rows = [row for part in self.last.parts for row in rows_of(part)]
        self.taken += rows
        group = rows[0][0].group
        assert self.turn(rows[0]) == min(map(self.turn, self.waiting))
        if not any(part.alone for part in self.last.parts):
            may_wait = min(max_rows, len(self.wanted(group)))
            smaller = [size for size in self.policy.preferred_batch_sizes if size <= may_wait]
            assert len(rows) <= (smaller[-1] if smaller else may_wait)
        for row in rows:
            self.waiting.remove(row)
        later = [self.turn(row) for row in self.wanted(group)]
        assert not later or max(map(self.turn, rows)) <= min(later)

    def restore(self, now, alone, _):
        if self.last is not None and not self.gone & {part.submission for part in self.last.parts}:
            self.batcher.restore(self.last, alone=alone > 3)
            rows = [row for part in self.last.parts for row in rows_of(part)]
            self.waiting = rows + self.waiting
            for row in rows:
                self.taken.remove(row)
            self.last = None

    def withdraw(self, now, number, _):
        if number < len(self.admitted):
            self.batcher.withdraw(self.admitted[number])
            self.gone.add(self.admitted[number])
            self.waiting = [row for row in self.waiting if row[0] not in self.gone]


def rows_of(part):
    return [(part.submission, row) for row in range(part.start, part.stop)]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from([Played.admit, Played.take, Played.restore, Played.withdraw]),
        st.integers(1, 6),
        st.sampled_from("abc"),
    ),
    max_size=40,
)


@given(EVENTS, st.sampled_from([(), (2,), (2, 5)]))
def test_whatever_happens_each_wanted_row_is_taken_exactly_once_and_in_its_turn(events, preferred):
    played = Played(preferred)
    for now, (event, number, group) in enumerate(events):
        event(played, now, number, group)
        assert played.batcher.queued_rows == len(played.waiting)
    while played.waiting:
        played.take(0, 4, "")
    assert len(played.taken) == len(set(played.taken))
    wanted = {(s, n) for s in played.admitted if s not in played.gone for n in range(len(s.rows))}
    assert wanted <= set(played.taken)
    assert played.batcher.queued_rows == 0


@given(st.integers(1, 40), st.integers(1, 12), st.sets(st.integers(1, 12), max_size=3))
def test_sizes_without_neighbours_are_exact(waiting, max_rows, preferred):
    batcher = admitted(submission(waiting), preferred_batch_sizes=tuple(sorted(preferred)))
    for size in sizes(batcher, max_rows):
        room = min(waiting, max_rows)
        assert size == max((each for each in preferred if each <= room), default=room)
        waiting -= size
    assert waiting == 0
