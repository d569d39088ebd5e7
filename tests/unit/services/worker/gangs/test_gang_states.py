"""Gangs start whole, end whole, and come back by themselves."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.worker.gangs.gangs import (
    FIRST_RETRY_SECONDS,
    LONGEST_RETRY_SECONDS,
    STABLE_SECONDS,
    End,
    Form,
    Gangs,
)

START_SECONDS = 60.0


@pytest.fixture
def gangs():
    return Gangs(3, start_seconds=START_SECONDS)


def join_all(gangs, *, now=0.0, prefix="a"):
    return [each for rank in range(3) for each in gangs.joined(f"{prefix}{rank}", rank, now)]


def serve(gangs, formed, *, now):
    for member in formed.members:
        gangs.ready(member, formed.epoch, now)


def test_nothing_starts_until_the_last_rank_is_there(gangs):
    assert gangs.joined("a0", 0, 0.0) == gangs.joined("a2", 2, 0.0) == []
    assert gangs.missing == (1,)
    assert gangs.joined("a1", 1, 0.0) == [Form(1, ("a0", "a1", "a2"))]


def test_a_gang_serves_when_its_last_rank_is_ready(gangs):
    (formed,) = join_all(gangs)
    (gang,) = gangs
    for member in formed.members:
        assert not gang.serves
        gangs.ready(member, 1, 5.0)
    assert gang.serves


def test_one_lost_rank_ends_all_and_says_which(gangs):
    (formed,) = join_all(gangs)
    serve(gangs, formed, now=1.0)
    assert gangs.left("a1", "its process ended (SIGKILL)", 2.0) == [
        End(1, ("a0", "a2"), "rank 1: its process ended (SIGKILL)", 2.0 + FIRST_RETRY_SECONDS)
    ]
    assert list(gangs) == []
    assert gangs.missing == (1,)


def test_the_next_start_has_another_epoch_and_waits_its_time(gangs):
    join_all(gangs)
    (end,) = gangs.failed("a1", 1, "no such file", 2.0)
    assert gangs.tick(end.retry_at - 0.001) == []
    assert gangs.due_at() == end.retry_at
    assert gangs.tick(end.retry_at) == [Form(2, ("a0", "a1", "a2"))]


def test_what_is_said_of_an_epoch_that_is_over_means_nothing(gangs):
    join_all(gangs)
    gangs.failed("a1", 1, "x", 0.0)
    gangs.tick(100.0)
    assert gangs.failed("a1", 1, "x", 101.0) == []
    for member in ("a0", "a1", "a2"):
        gangs.ready(member, 1, 101.0)
    (gang,) = gangs
    assert (gang.epoch, gang.serves, gang.ready) == (2, False, set())


def test_the_word_of_an_agent_outside_the_gang_means_nothing(gangs):
    join_all(gangs)
    gangs.joined("spare", 1, 0.0)
    for member in ("a0", "a2", "spare", "stranger"):
        gangs.ready(member, 1, 1.0)
    assert gangs.failed("spare", 1, "x", 1.0) == gangs.left("stranger", "x", 1.0) == []
    (gang,) = gangs
    assert not gang.serves


def test_starts_that_fail_again_and_again_wait_longer_until_one_has_served_for_a_while(gangs):
    join_all(gangs)
    now, waits = 0.0, []
    for epoch in range(1, 10):
        (end,) = gangs.failed("a0", epoch, "x", now)
        waits.append(end.retry_at - now)
        now = end.retry_at
        (formed,) = gangs.tick(now)
    assert waits[:3] == [FIRST_RETRY_SECONDS * factor for factor in (1, 2, 4)]
    assert waits[-1] == LONGEST_RETRY_SECONDS
    serve(gangs, formed, now=now)
    (end,) = gangs.failed("a0", formed.epoch, "x", now + STABLE_SECONDS)
    assert end.retry_at == now + STABLE_SECONDS + FIRST_RETRY_SECONDS


def test_a_start_that_takes_too_long_ends_and_names_the_ranks(gangs):
    join_all(gangs, now=10.0)
    gangs.ready("a1", 1, 11.0)
    assert gangs.due_at() == 10.0 + START_SECONDS
    (end,) = gangs.tick(10.0 + START_SECONDS)
    assert end.reason == "not ready within 60 s: ranks 0, 2"


def test_an_agent_that_starts_again_takes_its_gang_down_and_its_own_place_again(gangs):
    (formed,) = join_all(gangs)
    serve(gangs, formed, now=1.0)
    (end,) = gangs.joined("a1", 1, 2.0)
    assert (end.epoch, end.members, end.reason) == (1, ("a0", "a2"), "rank 1: it joined again")
    assert gangs.tick(end.retry_at) == [Form(2, ("a0", "a1", "a2"))]


def test_more_agents_form_another_gang_and_one_without_a_place_steps_in(gangs):
    join_all(gangs)
    assert join_all(gangs, prefix="b") == [Form(2, ("b0", "b1", "b2"))]
    assert gangs.joined("spare", 1, 0.0) == []
    (end,) = gangs.left("a1", "gone", 0.0)
    assert gangs.tick(end.retry_at) == [Form(3, ("a0", "spare", "a2"))]
    assert {gang.epoch for gang in gangs} == {2, 3}


def test_epochs_go_on_after_those_of_a_worker_before_this_one(gangs):
    gangs.joined("a0", 0, 0.0, epoch=0)
    gangs.joined("a1", 1, 0.0, epoch=7)
    assert gangs.joined("a2", 2, 0.0, epoch=6) == [Form(8, ("a0", "a1", "a2"))]


def test_a_gang_that_its_worker_refuses_ends_and_says_why(gangs):
    (formed,) = join_all(gangs)
    (end,) = gangs.refused(formed.epoch, "outputs differ", 1.0)
    assert (end.members, end.reason) == (formed.members, "outputs differ")
    assert gangs.refused(formed.epoch, "outputs differ", 1.0) == []


class Interleavings(RuleBasedStateMachine):
    """Whatever order agents join, leave, load and fail in."""

    def __init__(self):
        super().__init__()
        self.gangs = Gangs(3, start_seconds=START_SECONDS)
        self.now = 0.0
        self.alive = {}
        self.formed = {}
        self.ended = set()
        self.names = 0
        self.heard = 0

    def follow(self, instructions):
        for each in instructions:
            if isinstance(each, Form):
                assert each.epoch > max([*self.formed, *self.ended, self.heard])
                assert [self.alive[member] for member in each.members] == [0, 1, 2]
                self.formed[each.epoch] = set(each.members)
            else:
                members = self.formed.pop(each.epoch)
                assert set(each.members) == members & self.alive.keys()
                assert each.retry_at > self.now
                self.ended.add(each.epoch)

    @rule(rank=st.integers(0, 2), data=st.data())
    def join(self, rank, data):
        self.names += 1
        self.alive[f"m{self.names}"] = rank
        # Of this worker, or of one before it that came further.
        heard = data.draw(st.integers(0, max([*self.formed, *self.ended], default=0) + 2))
        self.heard = max(self.heard, heard)
        self.follow(self.gangs.joined(f"m{self.names}", rank, self.now, epoch=heard))

    @precondition(lambda self: self.alive)
    @rule(data=st.data())
    def leave(self, data):
        member = data.draw(st.sampled_from(sorted(self.alive)))
        del self.alive[member]
        self.follow(self.gangs.left(member, "gone", self.now))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), fails=st.booleans())
    def speak(self, data, fails):
        """Of this epoch or of any other."""
        member = data.draw(st.sampled_from(sorted(self.alive)))
        epoch = data.draw(st.sampled_from([0, *self.formed, *self.ended, 10_000]))
        if fails:
            self.follow(self.gangs.failed(member, epoch, "x", self.now))
        else:
            self.follow(self.gangs.ready(member, epoch, self.now))

    @precondition(lambda self: self.formed)
    @rule(data=st.data())
    def refuse(self, data):
        epoch = data.draw(st.sampled_from([*self.formed, *self.ended, 10_000]))
        ends = self.gangs.refused(epoch, "they do not fit together", self.now)
        assert bool(ends) == (epoch in self.formed)
        self.follow(ends)

    @rule(seconds=st.floats(0.0, 100.0))
    def wait(self, seconds):
        self.now += seconds
        self.follow(self.gangs.tick(self.now))

    @rule()
    def wait_as_asked(self):
        due = self.gangs.due_at()
        if due is not None:
            self.now = max(self.now, due)
            before = self.gangs.due_at()
            self.follow(self.gangs.tick(self.now))
            assert self.gangs.due_at() != before

    @invariant()
    def gangs_are_those_that_were_formed_and_did_not_end(self):
        assert {gang.epoch: set(gang.members) for gang in self.gangs} == self.formed

    @invariant()
    def nobody_is_in_two_gangs_and_nobody_who_left_is_in_one(self):
        members = [member for gang in self.gangs for member in gang.members]
        assert len(members) == len(set(members))
        assert set(members) <= self.alive.keys()

    @invariant()
    def a_gang_serves_exactly_when_all_are_ready(self):
        for gang in self.gangs:
            assert gang.serves == (gang.ready == set(gang.members))

    @invariant()
    def agents_that_could_form_a_gang_do_when_the_time_has_come(self):
        if not self.gangs.missing:
            assert self.gangs.due_at() is not None


TestInterleavings = Interleavings.TestCase
