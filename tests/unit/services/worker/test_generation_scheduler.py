"""Each rule of the scheduler by an example."""

from dataclasses import replace

import pytest

from services.worker.generation.buckets import Bucket
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.scheduler import Output, Scheduler
from services.worker.generation.sequences import Finish, Sequence, State
from services.worker.generation.steps import Chunk, Outcome, Start, Step, Store
from shared.deadline import Deadline
from shared.errors import (
    AgentLost,
    DeadlineExceeded,
    ExecutionFailed,
    InvalidRequest,
    Overloaded,
)
from tests.support.generation import (
    RULES,
    SimulatedAgent,
    continue_plainly,
    prompt_of,
    run_all,
    run_step,
)

_LONG = tuple(index * 7 % 4 for index in range(40))


class Stack:
    """A scheduler and its agent."""

    def __init__(self, rules: SchedulerRules = RULES, **changes: object) -> None:
        self.rules = replace(rules, **changes)
        self.scheduler = Scheduler("m", self.rules)
        self.agent = SimulatedAgent(self.rules)

    def add(self, prompt: Prompt, now: float = 0.0) -> Sequence:
        return self.add_all(prompt, now)[0]

    def add_all(self, prompt: Prompt, now: float = 0.0) -> tuple[Sequence, ...]:
        added = self.scheduler.add(prompt, now)
        self.agent.know(added)
        return added

    def step(self, now: float = 0.0) -> Step:
        return run_step(self.scheduler, self.agent, now)[0]

    def outputs(self, now: float = 0.0) -> list[Output]:
        return run_step(self.scheduler, self.agent, now)[1]

    def run(self) -> list[Step]:
        return run_all(self.scheduler, self.agent)


def chunks_of(step: Step) -> list[Chunk]:
    return [chunk for call in step.prefills for chunk in call.chunks]


def assert_plain(*sequences: Sequence) -> None:
    for sequence in sequences:
        tokens, finish = continue_plainly(sequence.prompt, sequence.most_tokens)
        assert sequence.tokens[len(sequence.prompt.tokens) :] == tokens
        assert sequence.finish is finish


# One sequence


def test_a_prompt_is_computed_at_once_and_then_continued_token_by_token() -> None:
    stack = Stack()
    sequence = stack.add(prompt_of(0, 1, 2, new=3))
    first = stack.step()
    assert first.starts == (Start(0, sequence.number, ()),)
    assert chunks_of(first) == [Chunk(0, (0, 1, 2), 0, samples=1)]
    assert first.decode is None
    assert (sequence.state, sequence.generated) == (State.DECODING, 1)
    second = stack.step()
    assert second.decode is not None
    assert second.decode.slots == (0,)
    assert second.prefills == ()
    assert stack.outputs() == [Output(sequence, (sequence.tokens[-1],), Finish.LENGTH)]
    assert stack.scheduler.schedule(0.0) is None
    assert_plain(sequence)


def test_nothing_is_planned_while_a_step_is_under_way_or_when_there_is_nothing_to_do() -> None:
    stack = Stack()
    assert stack.scheduler.schedule(0.0) is None
    stack.add(prompt_of(1))
    step = stack.scheduler.schedule(0.0)
    assert step is not None
    assert stack.scheduler.schedule(0.0) is None


def test_a_stop_token_ends_a_sequence_and_is_its_last() -> None:
    stack = Stack()
    plain, _ = continue_plainly(prompt_of(0, 1, new=20), 22)
    stop = plain[3]
    limits = Limits(20, stop_ids=frozenset({stop}))
    sequence = stack.add(Prompt((0, 1), limits))
    stack.run()
    assert sequence.finish is Finish.STOP
    assert sequence.tokens[2:] == plain[: plain.index(stop) + 1]


def test_no_token_stops_a_sequence_before_min_tokens() -> None:
    every = frozenset(range(4))
    assert not Limits(9, min_tokens=3, stop_ids=every).stops_at(1, generated=2)
    assert Limits(9, min_tokens=3, stop_ids=every).stops_at(1, generated=3)
    stack = Stack()
    sequence = stack.add(Prompt((0, 1), Limits(9, min_tokens=3, eos_ids=every)))
    stack.run()
    assert (sequence.finish, sequence.generated) == (Finish.STOP, 3)


def test_ignore_eos_ignores_the_models_end_but_not_the_callers() -> None:
    limits = Limits(9, eos_ids=frozenset({1}), stop_ids=frozenset({2}), ignore_eos=True)
    assert not limits.stops_at(1, generated=1)
    assert limits.stops_at(2, generated=1)
    assert replace(limits, ignore_eos=False).stops_at(1, generated=1)


def test_a_sequence_ends_where_the_context_ends() -> None:
    stack = Stack(context=10)
    sequence = stack.add(prompt_of(*range(4), new=100))
    stack.run()
    assert (sequence.finish, len(sequence.tokens)) == (Finish.LENGTH, 10)
    assert_plain(sequence)


def test_a_sequence_alone_may_fill_all_blocks_and_ends_there() -> None:
    stack = Stack(blocks=3)
    sequence = stack.add(prompt_of(*range(4), new=100))
    stack.run()
    assert (sequence.finish, len(sequence.tokens)) == (Finish.LENGTH, 12)
    assert sequence.preemptions == 0


# What is refused


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (prompt_of(), "m: prompt: expected at least 1 token, got none"),
        (prompt_of(1, new=0), "m: max_new_tokens: expected at least 1, got 0"),
        (Prompt((1,), Limits(2, min_tokens=3)), "m: min_tokens: expected 0 to max_new_tokens"),
        (prompt_of(1, copies=0), "m: copies: expected 1 to 256, got 0"),
        (prompt_of(1, copies=257), "m: copies: expected 1 to 256, got 257"),
        (prompt_of(1, -1), "m: prompt: expected token ids from 0 to 99, got -1"),
        (prompt_of(100, 1), "m: prompt: expected token ids from 0 to 99, got 100"),
        (prompt_of(1, priority=-1), "m: priority: expected at least 0, got -1"),
        (
            prompt_of(*_LONG[:40], *_LONG[:24]),
            "m: prompt: expected at most 63 tokens, so that one more fits into the context of 64,"
            " got 64",
        ),
        (
            prompt_of(*range(40)),
            "m: prompt: expected at most 39 tokens, so that one more fits into the cache of"
            " 10 blocks of 4 tokens, got 40",
        ),
    ],
)
def test_what_can_never_be_continued_is_refused_at_once_and_blocks_nobody(
    prompt: Prompt, words: str
) -> None:
    stack = Stack(blocks=10, vocabulary=100)
    with pytest.raises(InvalidRequest, match=words):
        stack.add(prompt)
    sequence = stack.add(prompt_of(*_LONG[:39], new=1))
    stack.run()
    assert_plain(sequence)


def test_too_many_that_wait_are_refused() -> None:
    stack = Stack(max_waiting=3)
    copies = stack.add_all(prompt_of(1, copies=2))
    with pytest.raises(
        Overloaded, match="m: 2 sequences wait already, 2 more would exceed the limit of 3"
    ):
        stack.add(prompt_of(2, copies=2))
    last = stack.add(prompt_of(2))
    stack.run()
    assert_plain(*copies, last)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"slots": 0}, "slots: expected at least 1, got 0"),
        ({"speculated_tokens": -1}, "speculated_tokens: expected at least 0, got -1"),
        ({"token_budget": 4}, "token_budget: expected more than the 4 slots"),
        ({"handicaps": ()}, "handicaps: expected at least one"),
        ({"slots": 5}, "decode_buckets: none has 5 rows and length 64"),
        ({"context": 65}, "decode_buckets: none has 4 rows and length 65"),
        ({"prefill_buckets": (Bucket(1, 1, 64), Bucket(1, 8, 63))}, "prefill_buckets: none has"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Stack(**changes)


# Many sequences


def test_several_prompts_share_one_call_and_then_one_decode_batch() -> None:
    stack = Stack()
    sequences = [stack.add(prompt_of(size, *_LONG[:size])) for size in (1, 3, 2)]
    first = stack.step()
    assert [len(call.chunks) for call in first.prefills] == [3]
    assert first.prefills[0].bucket == Bucket(4, 8, 16)
    second = stack.step()
    assert second.decode is not None
    assert second.decode.slots == (0, 1, 2)
    stack.run()
    assert_plain(*sequences)


def test_each_prompt_has_a_call_of_its_own_when_calls_take_one() -> None:
    stack = Stack(max_prefill_batch=1)
    for size in (1, 3, 2):
        stack.add(prompt_of(size, *_LONG[:size]))
    assert [len(call.chunks) for call in stack.step().prefills] == [1, 1, 1]


def test_a_long_prompt_goes_in_chunks_and_running_streams_get_a_token_in_every_step() -> None:
    stack = Stack()
    stream = stack.add(prompt_of(1, 2, 3, new=6))
    stack.step()
    prompt = stack.add(prompt_of(*_LONG))
    sizes = []
    while prompt.state is not State.DECODING:
        step = stack.step()
        assert step.decode is not None
        assert step.decode.slots == (stream.slot,)
        sizes += [(chunk.first, len(chunk.tokens), chunk.samples) for chunk in chunks_of(step)]
    assert sizes == [(0, 16, 0), (16, 16, 0), (32, 8, 1)]
    assert stream.generated == 4
    stack.run()
    assert_plain(stream, prompt)


def test_no_step_computes_more_tokens_than_the_budget() -> None:
    stack = Stack(token_budget=10, prefix_cache=False)
    sequences = [stack.add(prompt_of(*_LONG[:12])) for _ in range(3)]
    first = stack.step()
    assert [len(chunk.tokens) for chunk in chunks_of(first)] == [10]
    second = stack.step()
    assert sorted(len(chunk.tokens) for chunk in chunks_of(second)) == [2, 8]
    assert all(step.tokens <= 10 for step in stack.run())
    assert_plain(*sequences)


def test_no_call_is_made_for_a_scrap_of_the_budget_but_some_prompt_always_goes_on() -> None:
    stack = Stack(token_budget=20)  # a call takes at least 8 tokens of a row
    sequences = [stack.add(prompt_of(index, *_LONG[:24])) for index in (1, 2)]
    assert [len(chunk.tokens) for chunk in chunks_of(stack.step())] == [16]
    assert [len(chunk.tokens) for chunk in chunks_of(stack.step())] == [11, 9]
    stack.run()
    assert_plain(*sequences)
    stack = Stack(token_budget=5)
    sequence = stack.add(prompt_of(*_LONG[:8]))
    assert [len(chunk.tokens) for chunk in chunks_of(stack.step())] == [5]
    stack.run()
    assert_plain(sequence)


def test_who_came_first_starts_first_and_a_higher_priority_before_that() -> None:
    stack = Stack(slots=1, handicaps=(5.0, 0.0, 5.0))
    slow = stack.add(prompt_of(1, priority=2), now=0.0)
    default = stack.add(prompt_of(2), now=1.0)
    urgent = stack.add(prompt_of(3, priority=1), now=2.0)
    starts = [start.sequence for step in stack.run() for start in step.starts]
    assert starts == [urgent.number, slow.number, default.number]


def test_a_lower_priority_does_not_wait_for_ever() -> None:
    stack = Stack(slots=1, handicaps=(0.0, 0.0, 5.0))
    slow = stack.add(prompt_of(1, priority=2), now=0.0)
    urgent = [stack.add(prompt_of(2, priority=1), now=now) for now in (1.0, 4.0, 6.0)]
    starts = [start.sequence for step in stack.run() for start in step.starts]
    assert starts == [urgent[0].number, urgent[1].number, slow.number, urgent[2].number]


def test_a_long_prompt_that_must_wait_for_blocks_is_not_overtaken() -> None:
    stack = Stack(blocks=10, prefix_cache=False)
    stack.add(prompt_of(*_LONG[:8], new=10))
    stack.step()
    long = stack.add(prompt_of(*_LONG[:36], new=1))
    short = stack.add(prompt_of(1))
    assert stack.step().starts == ()
    starts = [start.sequence for step in stack.run() for start in step.starts]
    assert starts == [long.number, short.number]


def test_the_lowest_free_slot_is_taken_so_that_the_decode_batch_shrinks() -> None:
    stack = Stack()
    short = [stack.add(prompt_of(index, new=2)) for index in (0, 1)]
    long = stack.add(prompt_of(2, new=9))
    stack.step()
    wide = stack.step()
    assert wide.decode is not None
    assert wide.decode.bucket == Bucket(4, 1, 16)
    assert all(sequence.finish for sequence in short)
    late = stack.add(prompt_of(3, new=9))
    assert stack.step().starts == (Start(0, late.number, ()),)
    assert long.slot == 2
    while long.finish is None:
        stack.step()
    narrow = stack.step()
    assert narrow.decode is not None
    assert narrow.decode.bucket == Bucket(1, 1, 16)


def test_without_continuous_batching_nobody_starts_while_others_decode() -> None:
    stack = Stack(continuous=False)
    batch = [stack.add(prompt_of(index, new=3)) for index in (0, 1)]
    stack.step()
    late = stack.add(prompt_of(2))
    while batch[0].finish is None:
        assert stack.step().starts == ()
    assert [start.sequence for start in stack.step().starts] == [late.number]


def test_the_graphs_for_short_texts_are_used_as_long_as_they_do_and_only_if_wanted() -> None:
    for fitted, lengths in ((True, {16, 64}), (False, {64})):
        stack = Stack(length_fitted=fitted)
        sequence = stack.add(prompt_of(*_LONG[:10], new=20))
        steps = stack.run()
        assert {step.decode.bucket.length for step in steps if step.decode} == lengths
        assert_plain(sequence)


def test_without_continuous_batching_copies_run_together() -> None:
    stack = Stack(continuous=False)
    copies = stack.add_all(prompt_of(*_LONG[:10], copies=3))
    assert len(stack.step().starts) == 3
    stack.run()
    assert_plain(*copies)


# Blocks


def test_what_a_prompt_has_in_common_with_an_earlier_one_is_loaded_and_not_computed() -> None:
    stack = Stack()
    first = stack.add(prompt_of(*_LONG[:10], new=1))
    stack.step()
    second = stack.add(prompt_of(*_LONG[:9], 3, 3))
    step = stack.step()
    assert step.stores == (Store(0, 0, 0), Store(0, 1, 1))
    assert step.starts == (Start(0, second.number, (0, 1)),)
    assert chunks_of(step) == [Chunk(0, (_LONG[8], 3, 3), 8, samples=1)]
    assert (first.cached_tokens, second.cached_tokens) == (0, 8)
    counts = stack.scheduler.counts
    assert (counts.prefix_queries, counts.prefix_hits) == (21, 8)
    stack.run()
    assert_plain(first, second)


def test_one_token_is_computed_even_of_a_prompt_that_is_cached_as_a_whole() -> None:
    stack = Stack()
    for _ in range(2):
        sequence = stack.add(prompt_of(*_LONG[:8], new=1))
        step = stack.step()
    assert chunks_of(step) == [Chunk(0, _LONG[4:8], 4, samples=1)]
    assert_plain(sequence)


def test_completions_are_shared_too_as_the_next_turn_of_a_chat_begins_with_them() -> None:
    stack = Stack()
    first = stack.add(prompt_of(*_LONG[:4], new=6))
    stack.run()
    second = stack.add(prompt_of(*first.tokens, 1))
    stack.run()
    assert second.cached_tokens == 8
    assert_plain(first, second)


@pytest.mark.parametrize("change", [{"adapter": 1}, {"salt": "mine"}])
def test_adapters_and_salts_share_nothing(change: dict[str, object]) -> None:
    stack = Stack()
    stack.add(prompt_of(*_LONG[:10]))
    stack.run()
    other = stack.add(prompt_of(*_LONG[:10], **change))
    stack.run()
    assert other.cached_tokens == 0
    assert_plain(other)


def test_without_the_prefix_cache_nothing_is_stored_or_loaded() -> None:
    stack = Stack(prefix_cache=False)
    for _ in range(2):
        sequence = stack.add(prompt_of(*_LONG[:10]))
        assert all(not step.stores for step in stack.run())
        assert sequence.cached_tokens == 0
    assert stack.scheduler.blocks_cached == 0


@pytest.mark.parametrize("prefix_cache", [True, False])
def test_copies_of_a_prompt_share_its_blocks(prefix_cache: bool) -> None:
    stack = Stack(prefix_cache=prefix_cache)
    copies = stack.add_all(prompt_of(*_LONG[:10], copies=3))
    assert [start.sequence for start in stack.step().starts] == [copies[0].number]
    second = stack.step()
    assert [start.loads for start in second.starts] == [(0, 1), (0, 1)]
    assert stack.scheduler.blocks_used == 2 + 3
    stack.run()
    assert_plain(*copies)
    for number in (1, 2):
        again = stack.add(prompt_of(*_LONG[:10], copies=number))
        stack.run()
        assert again.cached_tokens == (8 if prefix_cache else 0)


def test_others_pass_who_waits_for_blocks_that_are_being_computed() -> None:
    stack = Stack()
    leader = stack.add(prompt_of(*_LONG[:10]))
    follower = stack.add(prompt_of(*_LONG[:8], 1, 1))
    other = stack.add(prompt_of(3, 3, 3))
    assert [start.sequence for start in stack.step().starts] == [leader.number, other.number]
    assert [start.sequence for start in stack.step().starts] == [follower.number]
    stack.run()
    assert_plain(leader, follower, other)


def test_nobody_waits_for_blocks_that_are_a_small_part_of_its_prompt() -> None:
    stack = Stack()
    leader = stack.add(prompt_of(*_LONG[:5]))
    other = stack.add(prompt_of(*_LONG[:4], 3, 3, 3, 3, 3))
    assert [start.sequence for start in stack.step().starts] == [leader.number, other.number]
    stores = stack.step().stores
    assert [store.index for store in stores] == [0, 1]  # what both computed is stored once
    stack.run()
    assert_plain(leader, other)


def test_when_blocks_run_out_the_last_in_order_is_preempted_and_comes_back_first() -> None:
    stack = Stack(blocks=5, prefix_cache=False)
    first = stack.add(prompt_of(*_LONG[:8], new=8))
    second = stack.add(prompt_of(*_LONG[1:8], new=8))
    stack.step()
    third = stack.add(prompt_of(1))
    told = []
    while not second.preemptions:
        told += stack.outputs()
    assert (second.state, first.preemptions) == (State.WAITING, 0)
    made = second.generated
    assert made
    steps = stack.run()
    starts = [start.sequence for step in steps for start in step.starts]
    assert starts == [second.number, third.number]
    again = next(step for step in steps if step.starts)
    assert [len(chunk.tokens) for chunk in chunks_of(again)] == [7 + made, 1]
    assert stack.scheduler.counts.preemptions == 1
    assert_plain(first, second, third)


def test_cached_blocks_that_are_loaded_are_no_room_for_the_rest_of_the_prompt() -> None:
    stack = Stack(blocks=4)
    stack.add(prompt_of(*_LONG[:9], new=1))
    stack.step()
    stream = stack.add(prompt_of(3, 3, new=2))
    stack.step()
    assert (stack.scheduler.blocks_used, stack.scheduler.blocks_cached) == (1, 2)
    sequence = stack.add(prompt_of(*_LONG[:13], new=1))
    assert stack.step().starts == ()
    assert stream.finish is not None
    assert len(stack.step().starts[0].loads) == 2
    assert_plain(stream, sequence)


def test_spare_blocks_are_left_for_those_that_run() -> None:
    for spare, starts in ((0, 1), (3, 0)):
        stack = Stack(blocks=6, spare_blocks=spare, prefix_cache=False)
        stack.add(prompt_of(*_LONG[:8]))
        stack.step()
        stack.add(prompt_of(*_LONG[:5]))
        assert len(stack.step().starts) == starts
        stack.run()


# Ends before the time


def test_a_cancelled_sequence_frees_its_slot_and_its_blocks_within_one_step() -> None:
    stack = Stack(slots=1)
    sequence = stack.add(prompt_of(*_LONG[:10], new=50))
    waiting = stack.add(prompt_of(3))
    stack.step()
    step = stack.scheduler.schedule(0.0)
    assert step is not None
    assert stack.scheduler.cancel(sequence) == Output(sequence, (), Finish.ABORT)
    assert stack.scheduler.blocks_used == 0
    assert stack.scheduler.step_done(step, stack.agent.run(step), 0.0) == []
    after = stack.step()
    assert after.freed == (0,)
    assert after.starts == (Start(0, waiting.number, ()),)
    assert stack.scheduler.cancel(sequence) is None


def test_a_sequence_may_be_ended_by_a_stop_string_that_others_found() -> None:
    stack = Stack()
    sequence = stack.add(prompt_of(1, new=50))
    stack.step()
    assert stack.scheduler.cancel(sequence, Finish.STOP) == Output(sequence, (), Finish.STOP)
    assert stack.scheduler.schedule(0.0) is None


def test_deadlines_end_sequences_that_wait_and_that_run() -> None:
    stack = Stack(slots=1)
    runs = stack.add(prompt_of(1, new=50, deadline=Deadline(3.0)))
    waits = stack.add(prompt_of(2, deadline=Deadline(2.0)))
    stays = stack.add(prompt_of(3))
    stack.step()
    assert stack.scheduler.due_at() == 2.0
    assert stack.scheduler.tick(1.9) == []
    assert stack.scheduler.tick(2.0) == [Output(waits, (), Finish.DEADLINE)]
    assert isinstance(waits.error, DeadlineExceeded)
    assert "while the sequence was waiting, with 0 tokens" in waits.error.message
    assert stack.scheduler.due_at() == 3.0
    assert stack.outputs(now=4.0)[-1] == Output(runs, (), Finish.DEADLINE)
    assert stack.scheduler.due_at() is None
    stack.run()
    assert_plain(stays)


def test_deadlines_of_sequences_that_ended_are_not_kept() -> None:
    stack = Stack()
    for _ in range(500):
        stack.add(prompt_of(1, new=1, deadline=Deadline(1e9)))
        stack.step()
    assert len(stack.scheduler._deadlines) < 100


def test_the_next_deadline_is_known_however_many_sequences_ended_before_theirs() -> None:
    stack = Stack()
    stays = {}
    for number in range(400):
        at = number * 3 % 400 + 1.0
        sequence = stack.add(prompt_of(1, deadline=Deadline(at)))
        if number % 3:
            stack.scheduler.cancel(sequence)
        else:
            stays[at] = sequence
    for at in sorted(stays):
        assert stack.scheduler.due_at() == at
        stack.scheduler.cancel(stays[at])
    assert stack.scheduler.due_at() is None


def test_an_error_of_one_row_ends_its_sequence_alone() -> None:
    stack = Stack()
    broken, whole = (stack.add(prompt_of(index)) for index in (1, 2))
    error = ExecutionFailed("m: broken")
    _, outputs = run_step(
        stack.scheduler, stack.agent, change=lambda done: {**done, 0: Outcome(error=error)}
    )
    assert outputs[0] == Output(broken, (), Finish.ERROR)
    assert broken.error is error
    stack.run()
    assert_plain(whole)


@pytest.mark.parametrize("tokens", [(), (1, 2)])
def test_an_answer_with_too_few_or_too_many_tokens_ends_its_sequence_with_an_error(
    tokens: tuple[int, ...],
) -> None:
    stack = Stack()
    sequence = stack.add(prompt_of(1))
    run_step(stack.scheduler, stack.agent, change=lambda _: {0: Outcome(tokens)})
    assert sequence.finish is Finish.ERROR
    assert str(sequence.error) == (
        f"m: the agent answered a row with {len(tokens)} tokens, expected 1 to 1"
    )


def test_when_the_agent_is_lost_sequences_start_anew_and_make_the_same_text() -> None:
    stack = Stack()
    sequences = [stack.add(prompt_of(*_LONG[:size], new=6)) for size in (9, 30)]
    stack.step()
    under_way = stack.scheduler.schedule(0.0)
    assert under_way is not None
    assert stack.scheduler.lost(AgentLost("m: gone"), 0.0) == []
    assert stack.scheduler.step_done(under_way, {}, 0.0) == []
    assert stack.scheduler.blocks_cached == 0
    stack.agent = SimulatedAgent(stack.rules, stack.agent.known)
    step = stack.step()
    assert (step.freed, step.stores) == ((), ())
    assert step.starts == (Start(0, sequences[0].number, ()),)
    stack.run()
    assert_plain(*sequences)


def test_the_answer_to_a_step_that_was_lost_is_not_taken_for_that_to_the_next() -> None:
    stack = Stack()
    sequence = stack.add(prompt_of(1))
    lost = stack.scheduler.schedule(0.0)
    assert lost is not None
    stack.scheduler.lost(AgentLost("m: gone"), 0.0)
    step = stack.scheduler.schedule(0.0)
    assert step is not None
    assert stack.scheduler.step_done(lost, {0: Outcome((9,))}, 0.0) == []
    assert stack.scheduler.schedule(0.0) is None
    stack.scheduler.step_done(step, stack.agent.run(step), 0.0)
    stack.run()
    assert_plain(sequence)


def test_a_sequence_survives_so_many_losses_and_not_one_more() -> None:
    stack = Stack(recoveries=1, slots=1)
    sequence = stack.add(prompt_of(1, new=50))
    waiting = stack.add(prompt_of(2))
    error = AgentLost("m: gone")
    assert stack.scheduler.lost(error, 0.0) == []  # nothing was under way
    for expected in ([], [Output(sequence, (), Finish.ERROR)]):
        assert stack.scheduler.schedule(0.0) is not None
        assert stack.scheduler.lost(error, 0.0) == expected
    assert sequence.error is error
    stack.agent = SimulatedAgent(stack.rules, stack.agent.known)
    stack.run()
    assert_plain(waiting)


def test_a_sequence_that_breaks_its_agent_again_and_again_ends_alone() -> None:
    stack = Stack(recoveries=1)
    others = [stack.add(prompt_of(index, *_LONG[:20], new=9)) for index in (1, 2)]
    stack.step()
    poison = stack.add(prompt_of(3, 3, 3, 3))
    ended = []
    while not poison.finish:
        step = stack.scheduler.schedule(0.0)
        assert step is not None
        slots = [chunk.slot for chunk in chunks_of(step)]
        if poison.slot in slots:
            if poison.losses:
                assert slots == [poison.slot]
                assert step.decode is None
            ended += stack.scheduler.lost(AgentLost("m: gone"), 0.0)
            stack.agent = SimulatedAgent(stack.rules, stack.agent.known)
        else:
            stack.scheduler.step_done(step, stack.agent.run(step), 0.0)
    assert ended == [Output(poison, (), Finish.ERROR)]
    late = stack.add(prompt_of(2))
    stack.run()
    assert_plain(*others, late)


def test_after_a_loss_each_sequence_that_was_computed_is_tried_alone_and_then_with_others() -> None:
    stack = Stack()
    sequences = [stack.add(prompt_of(index, new=9)) for index in (1, 2)]
    stack.step()
    assert stack.scheduler.schedule(0.0) is not None
    stack.scheduler.lost(AgentLost("m: gone"), 0.0)
    stack.agent = SimulatedAgent(stack.rules, stack.agent.known)
    new = stack.add(prompt_of(3))
    steps = [stack.step(now=5.0), *stack.run()]
    assert [each.started_at for each in sequences] == [0.0, 0.0]
    starts = [[start.sequence for start in step.starts] for step in steps[:3]]
    assert starts == [[each.number] for each in (*sequences, new)]
    assert [step.decode is not None for step in steps[:3]] == [False, False, True]
    assert_plain(*sequences, new)


def test_who_is_tried_leaves_spare_blocks_too() -> None:
    stack = Stack(blocks=6, spare_blocks=2, prefix_cache=False)
    first, second = (stack.add(prompt_of(*_LONG[:size], new=3)) for size in (8, 5))
    assert len(stack.step().starts) == 2
    assert stack.scheduler.schedule(0.0) is not None
    stack.scheduler.lost(AgentLost("m: gone"), 0.0)
    stack.agent = SimulatedAgent(stack.rules, stack.agent.known)
    assert [start.sequence for start in stack.step().starts] == [first.number]
    assert first.generated == 2
    step = stack.step()
    assert step.starts == ()
    assert step.decode is not None
    stack.run()
    assert_plain(first, second)


# Speculation


def test_proposed_tokens_are_verified_in_one_row_and_the_text_is_the_same() -> None:
    stack = Stack(speculated_tokens=3)
    prompt = prompt_of(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, new=30)
    sequence = stack.add(prompt)
    steps = stack.run()
    verified = [chunk for step in steps for chunk in chunks_of(step) if chunk.samples > 1]
    assert verified
    assert all(chunk.samples == len(chunk.tokens) <= 4 for chunk in verified)
    counts = stack.scheduler.counts
    assert 0 < counts.accepted_tokens <= counts.proposed_tokens
    assert len(steps) == 30 - counts.accepted_tokens
    assert_plain(sequence)


def test_what_was_sampled_behind_the_end_is_dropped() -> None:
    stack = Stack()
    sequence = stack.add(Prompt((1,), Limits(3, stop_ids=frozenset({9}))))
    assert sequence.append((2, 9, 3)) == ((2, 9), Finish.STOP)
    assert sequence.tokens == [1, 2, 9]
    sequence = stack.add(prompt_of(1, new=2))
    assert sequence.append((2, 9, 3)) == ((2, 9), Finish.LENGTH)


def test_a_text_that_ends_among_proposed_tokens_shares_only_what_it_has() -> None:
    stack = Stack(speculated_tokens=3, block_size=1)
    prompt = Prompt((0, 1, 2, 9, 0, 1, 2, 9, 0, 1), Limits(9, stop_ids=frozenset({9})))
    sequence = stack.add(prompt)
    run_step(stack.scheduler, stack.agent, change=lambda _: {0: Outcome((2,))})
    step, outputs = run_step(
        stack.scheduler, stack.agent, change=lambda _: {0: Outcome((9, 0, 1, 3))}
    )
    assert chunks_of(step) == [Chunk(0, (2, 9, 0, 1), 10, samples=4)]
    assert outputs == [Output(sequence, (9,), Finish.STOP)]
    assert stack.scheduler.blocks_cached == 12


def test_proposed_rows_are_no_wider_than_the_graphs() -> None:
    narrow = tuple(Bucket(batch, 2, 64) for batch in (1, 2, 4))
    stack = Stack(speculated_tokens=3, prefill_buckets=narrow)
    sequence = stack.add(prompt_of(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, new=30))
    chunks = [chunk for step in stack.run() for chunk in chunks_of(step)]
    assert max(len(chunk.tokens) for chunk in chunks) == 2
    assert any(chunk.samples == 2 for chunk in chunks)
    assert_plain(sequence)


def test_proposals_take_what_the_budget_leaves_after_prompts() -> None:
    stack = Stack(speculated_tokens=3, token_budget=6, prefix_cache=False)
    stack.add(prompt_of(0, 1, 2, 3, 0, 1, 2, new=30))
    while not any(chunk.samples > 1 for chunk in chunks_of(stack.step())):
        pass
    stack.add(prompt_of(*_LONG[:20]))
    step = stack.step()
    assert step.decode is not None
    assert [len(chunk.tokens) for chunk in chunks_of(step)] == [5]


def test_nothing_is_proposed_beyond_the_last_token() -> None:
    stack = Stack(speculated_tokens=3)
    sequence = stack.add(prompt_of(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, new=2))
    steps = stack.run()
    assert all(chunk.samples <= 1 for step in steps for chunk in chunks_of(step))
    assert_plain(sequence)


def test_for_proposals_nobody_is_preempted() -> None:
    stack = Stack(speculated_tokens=3, blocks=6, prefix_cache=False)
    sequences = [stack.add(prompt_of(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, new=2)) for _ in range(2)]
    stack.run()
    assert stack.scheduler.counts.preemptions == 0
    assert_plain(*sequences)


def test_a_text_that_its_grammar_has_ended_is_at_its_end() -> None:
    stack = Stack()
    (sequence,) = stack.scheduler.add(prompt_of(1, 2, new=9), 0.0)
    step = stack.scheduler.schedule(0.0)
    assert step is not None
    outputs = stack.scheduler.step_done(step, {0: Outcome((3,), complete=True)}, 0.0)
    assert outputs == [Output(sequence, (3,), Finish.STOP)]


def test_a_text_to_which_its_grammar_lets_nothing_be_added_ends() -> None:
    stack = Stack()
    (sequence,) = stack.scheduler.add(prompt_of(1, 2, new=9), 0.0)
    step = stack.scheduler.schedule(0.0)
    assert step is not None
    outputs = stack.scheduler.step_done(step, {0: Outcome(complete=True)}, 0.0)
    assert outputs == [Output(sequence, (), Finish.STOP)]
    assert stack.scheduler.blocks_used == 0


def test_a_step_that_never_began_makes_no_suspects() -> None:
    stack = Stack(recoveries=0)
    (sequence,) = stack.scheduler.add(prompt_of(1, 2, new=2), 0.0)
    assert stack.scheduler.schedule(0.0) is not None
    assert stack.scheduler.lost(AgentLost("gone"), 0.0, began=False) == []
    assert (sequence.losses, sequence.state) == (0, State.WAITING)


def test_another_scheduler_goes_on_where_one_was() -> None:
    first, second = Stack(), Stack()
    prompt = prompt_of(1, 2, 3, new=12)
    (sequence,) = first.scheduler.add(prompt, 1.0)
    first.agent.know([sequence])
    for _ in range(5):
        run_step(first.scheduler, first.agent)
    adopted = second.scheduler.adopt(sequence)
    second.agent.know([adopted])
    assert adopted.turn == sequence.turn
    run_all(second.scheduler, second.agent)
    plain, finish = continue_plainly(prompt, 15)
    assert adopted.tokens == [1, 2, 3, *plain]
    assert adopted.finish is finish


def test_what_was_suspect_is_computed_alone_elsewhere_too() -> None:
    first, second = Stack(), Stack()
    (sequence,) = first.scheduler.add(prompt_of(1, 2), 0.0)
    first.scheduler.schedule(0.0)
    first.scheduler.lost(AgentLost("gone"), 0.0)
    second.scheduler.add(prompt_of(3, 2, 1), 0.0)
    adopted = second.scheduler.adopt(sequence)
    step = second.scheduler.schedule(0.0)
    assert step is not None
    assert [start.sequence for start in step.starts] == [adopted.number]
    assert adopted.losses == 1


def test_a_deadline_is_kept_elsewhere_too() -> None:
    first, second = Stack(), Stack()
    (sequence,) = first.scheduler.add(prompt_of(1, 2, deadline=Deadline(5.0)), 0.0)
    adopted = second.scheduler.adopt(sequence)
    assert second.scheduler.due_at() == 5.0
    assert [output.sequence for output in second.scheduler.tick(5.0)] == [adopted]


def test_how_much_of_a_prompt_is_known() -> None:
    stack = Stack()
    stack.agent.know(stack.scheduler.add(prompt_of(*_LONG), 0.0))
    assert stack.scheduler.known_tokens(prompt_of(*_LONG)) == 0
    run_all(stack.scheduler, stack.agent)
    assert stack.scheduler.known_tokens(prompt_of(*_LONG)) == 40
    assert stack.scheduler.known_tokens(prompt_of(*_LONG[:10], 3, 3)) == 8
    assert stack.scheduler.known_tokens(prompt_of(*_LONG, salt="s")) == 0
    assert stack.scheduler.known_tokens(prompt_of(*_LONG, adapter=1)) == 0
    assert Stack(prefix_cache=False).scheduler.known_tokens(prompt_of(*_LONG)) == 0


def test_there_is_room_for_those_who_come_before_others() -> None:
    stack = Stack(slots=2, blocks=4)
    early, late = Stack().add(prompt_of(1, 2), 1.0), Stack().add(prompt_of(1, 2), 5.0)
    large = Stack().add(prompt_of(*range(4), *range(4), *range(4), 1), 1.0)
    stack.add(prompt_of(1, 2, 3, new=9), 2.0)
    stack.step(2.0)
    assert stack.scheduler.has_room(late)
    # 13 tokens take four blocks, one of which is used.
    assert not stack.scheduler.has_room(large)
    stack.add(prompt_of(3), 3.0)
    assert stack.scheduler.has_room(early)
    assert not stack.scheduler.has_room(late)
    stack.step(3.0)
    assert not stack.scheduler.has_room(early)
    # Alone everything fits that was let in anywhere.
    assert Stack(slots=2, blocks=4).scheduler.has_room(large)


def test_held_sequences_keep_their_slots_until_others_have_them() -> None:
    stack = Stack(slots=2)
    stack.scheduler = Scheduler("m", stack.rules, hands_over=True)
    sequences = [stack.add(prompt_of(1, 2, number, new=5)) for number in range(3)]
    (first, *_) = stack.outputs()
    assert len(first.tokens) == 1
    assert stack.scheduler.held == sequences[:2]
    assert stack.scheduler.schedule(0.0) is None
    assert stack.scheduler.waiting == 1
    woken: list[bool] = []
    source = stack.scheduler.lend(sequences[0], lambda: woken.append(True))
    assert source.tokens == 3
    assert stack.scheduler.held == [sequences[1]]
    assert stack.scheduler.schedule(0.0) is None
    source.release()
    assert woken
    assert [start.slot for start in stack.step().starts] == [0]
    # Nobody is told of it here any more.
    source.release()
    assert stack.scheduler.cancel(sequences[0]) is None
    assert not source.is_lost
