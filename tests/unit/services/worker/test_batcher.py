"""Who is in the next batch: pure decisions, time is an argument."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.batching.batcher import Batcher, Submission
from shared.deadline import Deadline
from shared.errors import Overloaded

ROW = (np.zeros(2, np.float32),)
PLENTY = 1 << 30


def submission(rows, at=0.0, group="g", deadline=None):
    return Submission(group, [ROW] * rows, deadline and Deadline(deadline), at)


def take(batcher, max_rows=100, now=0.0, max_bytes=PLENTY):
    return batcher.take(max_rows=max_rows, max_bytes=max_bytes, now=now)


def admitted(*submissions, limit=1000):
    batcher = Batcher("the model", limit)
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
        batcher.admit(submission(4))
    batcher.admit(submission(3))


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
    assert batcher.oldest() == 5


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
    batcher = admitted(submission(5))
    assert take(batcher, max_bytes=3 * 8).batch.rows == 3
    assert take(batcher, max_bytes=1).batch.rows == 1


class Played:
    """A batcher with a tally of what was admitted, taken and withdrawn."""

    def __init__(self):
        self.batcher = Batcher("m", 10_000)
        self.admitted = []
        self.gone = set()
        self.taken = []
        self.last = None

    def admit(self, now, rows, group):
        self.admitted.append(submission(rows, at=float(now), group=group))
        self.batcher.admit(self.admitted[-1])

    def take(self, now, max_rows, _):
        self.last = take(self.batcher, max_rows).batch
        for part in self.last.parts if self.last else ():
            assert part.submission not in self.gone
            self.taken += rows_of(part)

    def restore(self, now, alone, _):
        if self.last is not None and not self.gone & {part.submission for part in self.last.parts}:
            self.batcher.restore(self.last, alone=alone > 3)
            for part in self.last.parts:
                for row in rows_of(part):
                    self.taken.remove(row)
            self.last = None

    def withdraw(self, now, number, _):
        if number < len(self.admitted):
            self.batcher.withdraw(self.admitted[number])
            self.gone.add(self.admitted[number])


def rows_of(part):
    return [(part.submission, row) for row in range(part.start, part.stop)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Played.admit, Played.take, Played.restore, Played.withdraw]),
            st.integers(1, 6),
            st.sampled_from("ab"),
        ),
        max_size=40,
    )
)
def test_whatever_happens_each_wanted_row_is_taken_exactly_once(events):
    played = Played()
    for now, (event, number, group) in enumerate(events):
        event(played, now, number, group)
    while played.batcher.oldest() is not None:
        played.take(0, 4, "")
    assert len(played.taken) == len(set(played.taken))
    wanted = {(s, n) for s in played.admitted if s not in played.gone for n in range(len(s.rows))}
    assert wanted <= set(played.taken)
    assert played.batcher.queued_rows == 0
