"""The batching queue with agents that a test holds in its hand."""

import asyncio

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from services.worker.batching.policy import BatchingPolicy
from services.worker.batching.queue import BatchQueue
from services.worker.metrics import Metrics
from shared.arena import join
from shared.deadline import Deadline
from shared.errors import (
    AgentLost,
    DeadlineExceeded,
    ExecutionFailed,
    Overloaded,
    Unavailable,
)
from shared.servable import ModelSpec, ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import task_scope
from shared.urgency import NOT_URGENT, Urgency
from tests.support.cluster import until

WHAT = ServableVersion("toy", 1)
CALL = ModelCall("double")
QUEUE = "servable 'toy' version 1, model 'double'"
MODELS = {
    "double": ModelSpec("double", ("double",), "reference", True),
    "whole": ModelSpec("whole", ("whole",), "reference", False),
    "scaled": ModelSpec("scaled", ("scaled",), "reference", True, (1,)),
}


class Taken:
    """An agent taken for one batch."""

    def __init__(self, agent, waits):
        self._agent = agent
        self.waits = waits

    async def execute(self, call, columns, rows):
        return await self._agent.execute(columns)

    def release(self):
        self._agent.release()


class Agent:
    """An agent whose batches a test answers one by one; doubles by itself when open."""

    def __init__(self, *, opened=True, max_rows=8):
        self.batches = []
        self.withdrawn = []
        self.in_hand = 0
        self.fails = []
        self.queue = None
        self._max_rows = max_rows
        self._open = asyncio.Event()
        self._began = asyncio.Event()
        if opened:
            self.open()

    def open(self):
        self._open.set()

    def take_idle(self, what):
        return self._take(what, 0)

    def take_ahead(self, what):
        return self._take(what, 1)

    def _take(self, what, in_hand):
        assert what == WHAT
        if self.in_hand != in_hand:
            return None
        self.in_hand += 1
        return Taken(self, waits=in_hand > 0)

    def max_rows(self, what, model):
        assert what == WHAT
        return self._max_rows

    async def execute(self, columns):
        inputs = [join(column) for column in columns]
        self.batches.append([each.tolist() for each in inputs])
        self._began.set()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.withdrawn.append([each.tolist() for each in inputs])
            raise
        if self.fails:
            raise self.fails.pop(0)
        return [inputs[0] * (inputs[1] if len(inputs) > 1 else 2)]

    def release(self):
        self.in_hand -= 1
        self.queue.pump()

    async def began(self):
        async with asyncio.timeout(5):
            await self._began.wait()


class Held:
    """A queue with one agent."""

    def __init__(self, agent, max_queued_rows=100, **knobs):
        self.agent = agent
        self.policy = BatchingPolicy(max_queued_rows, **knobs)

    async def __aenter__(self):
        self._scope = task_scope()
        self.queue = self.agent.queue = BatchQueue(
            WHAT,
            MODELS.values(),
            self.agent,
            await self._scope.__aenter__(),
            Metrics(CollectorRegistry()),
            policies=dict.fromkeys(MODELS, self.policy),
        )
        return self

    async def __aexit__(self, *failure):
        await self._scope.__aexit__(*failure)

    def submit(self, *numbers, model="double", **urgency):
        rows = [(np.full(2, number, np.float32),) for number in numbers]
        submitted = self.queue.submit(ModelCall(model), rows, Urgency(**urgency))
        return asyncio.create_task(submitted)


def doubled(outcomes):
    return [outcome[0].tolist() for outcome in outcomes]


def in_seconds(seconds):
    return Deadline.after(seconds, now=asyncio.get_running_loop().time())


async def settle():
    """Let every task run until it waits."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_one_of_four_callers_in_a_batch_leaves_and_the_others_do_not_notice():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        first = held.submit(0)
        await agent.began()
        callers = [held.submit(number) for number in (1, 2, 3, 4)]
        await settle()
        callers[1].cancel()
        await settle()
        agent.open()
        async with asyncio.timeout(5):
            done = await asyncio.gather(first, *callers, return_exceptions=True)
    assert [doubled(each) for n, each in enumerate(done) if n != 2] == [
        [[0, 0]],
        [[2, 2]],
        [[6, 6]],
        [[8, 8]],
    ]
    assert isinstance(done[2], asyncio.CancelledError)
    # What had not begun for the caller who left never ran.
    assert agent.batches[1] == [[[1, 1], [3, 3], [4, 4]]]


async def test_a_caller_leaves_while_its_batch_runs_and_the_others_are_answered():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        blocker = held.submit(0)
        await agent.began()
        callers = [held.submit(number) for number in (1, 2, 3, 4)]
        agent._open.set()
        await blocker
        agent._open.clear()
        await settle()
        assert len(agent.batches) == 2
        callers[0].cancel()
        await settle()
        agent.open()
        async with asyncio.timeout(5):
            done = await asyncio.gather(*callers[1:])
    assert [doubled(each) for each in done] == [[[4, 4]], [[6, 6]], [[8, 8]]]


async def test_a_lone_request_on_an_idle_agent_goes_at_once():
    agent = Agent()
    async with Held(agent) as held:
        assert doubled(await held.submit(5)) == [[10, 10]]
    assert agent.batches == [[[[5, 5]]]]


async def test_rows_that_wait_for_a_busy_agent_form_one_batch():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        callers = [held.submit(0)]
        await agent.began()
        callers += [held.submit(number) for number in range(1, 6)]
        await settle()
        agent.open()
        assert [doubled(each) for each in await asyncio.gather(*callers)] == [
            [[2 * n, 2 * n]] for n in range(6)
        ]
    assert [len(batch[0]) for batch in agent.batches] == [1, 5]


async def test_rows_that_come_in_one_turn_of_the_loop_form_one_batch():
    agent = Agent()
    async with Held(agent) as held:
        callers = [held.submit(number) for number in range(6)]
        assert [doubled(each) for each in await asyncio.gather(*callers)] == [
            [[2 * n, 2 * n]] for n in range(6)
        ]
    assert [len(batch[0]) for batch in agent.batches] == [6]


async def test_nobody_is_refused_in_a_full_queue_while_an_agent_is_idle():
    agent = Agent(max_rows=1)
    async with Held(agent, max_queued_rows=2) as held:
        callers = [held.submit(number) for number in range(5)]
        done = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(each, Overloaded) for each in done] == [False, False, False, False, True]


async def test_a_full_batch_is_handed_over_while_another_runs_and_no_third():
    agent = Agent(opened=False, max_rows=2)
    async with Held(agent) as held:
        callers = [held.submit(0)]
        await agent.began()
        callers += [held.submit(1)]
        await settle()
        assert len(agent.batches) == 1  # half full: others may join it
        callers += [held.submit(number) for number in (2, 3, 4)]
        await settle()
        assert [len(batch[0]) for batch in agent.batches] == [1, 2]
        agent.open()
        await asyncio.gather(*callers)
    assert [len(batch[0]) for batch in agent.batches] == [1, 2, 2]


async def test_a_batch_that_was_handed_over_ahead_and_not_begun_runs_later():
    agent = Agent(opened=False, max_rows=1)
    agent.fails = [AgentLost("the device process ended"), Unavailable("not begun")]
    async with Held(agent) as held:
        callers = [held.submit(number) for number in range(2)]
        await agent.began()
        await settle()
        agent.open()
        first, second = await asyncio.gather(*callers)
    assert isinstance(first[0], AgentLost)
    assert doubled(second) == [[2, 2]]


async def leave(*callers):
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    await settle()


async def test_a_batch_that_was_handed_over_ahead_comes_back_when_its_last_caller_leaves():
    agent = Agent(opened=False, max_rows=2)
    async with Held(agent) as held:
        running = held.submit(0)
        await agent.began()
        ahead = [held.submit(number) for number in (1, 2)]
        await settle()
        await leave(ahead[0])
        assert agent.withdrawn == []  # somebody waits for the other row
        await leave(ahead[1])
        assert agent.withdrawn == [[[[1, 1], [2, 2]]]]
        later = [held.submit(number) for number in (3, 4)]
        await settle()
        assert [len(batch[0]) for batch in agent.batches] == [1, 2, 2]  # its place is free
        agent.open()
        assert doubled(await later[1]) == [[8, 8]]
        await asyncio.gather(running, later[0])


async def test_a_batch_that_comes_back_before_it_was_handed_over_leaves_its_place_free():
    agent = Agent(opened=False, max_rows=1)
    async with Held(agent) as held:
        running = held.submit(0)
        await agent.began()
        ahead = held.submit(1)
        await asyncio.sleep(0)  # it waits
        ahead.cancel()
        held.queue.pump()  # handed over, its task not begun
        await settle()
        assert ahead.cancelled()
        assert len(agent.batches) == agent.in_hand == 1
        agent.open()
        await running


async def test_a_batch_at_work_is_not_taken_back():
    agent = Agent(opened=False, max_rows=1)
    async with Held(agent) as held:
        running = held.submit(0)
        await agent.began()
        await leave(running)
        assert agent.withdrawn == []
        assert agent.in_hand == 1
        agent.open()


async def test_more_rows_than_an_agent_takes_come_back_in_their_order():
    agent = Agent(max_rows=4)
    async with Held(agent) as held:
        assert doubled(await held.submit(*range(10))) == [[2 * n, 2 * n] for n in range(10)]
    assert [len(batch[0]) for batch in agent.batches] == [4, 4, 2]


async def test_ragged_rows_of_one_request_go_in_batches_of_one_shape_each():
    agent = Agent()
    async with Held(agent) as held:
        rows = [(np.full(size, size, np.float32),) for size in (1, 2, 1, 3)]
        outcomes = await held.queue.submit(CALL, rows, NOT_URGENT)
    assert doubled(outcomes) == [[2], [4, 4], [2], [6, 6, 6]]
    assert len(agent.batches) == 3


async def test_rows_with_other_unbatched_inputs_share_no_batch():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        blocker = held.submit(0)
        await agent.began()
        scale = [np.full((), n, np.float32) for n in (2, 3, 2)]
        callers = [
            asyncio.create_task(
                held.queue.submit(ModelCall("scaled"), [(np.ones(2, np.float32), each)], NOT_URGENT)
            )
            for each in scale
        ]
        await settle()
        agent.open()
        done = await asyncio.gather(*callers)
        await blocker
    assert [doubled(each) for each in done] == [[[2, 2]], [[3, 3]], [[2, 2]]]
    assert len(agent.batches) == 3


async def test_a_model_without_batch_dim_gets_whole_tensors_one_at_a_time():
    agent = Agent(max_rows=1)
    async with Held(agent) as held:
        assert doubled(await held.submit(1, 2, model="whole")) == [[2, 2], [4, 4]]
    assert agent.batches == [[[1, 1]], [[2, 2]]]


async def test_who_expired_in_the_queue_is_told_and_never_runs():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        first = held.submit(1)
        await agent.began()
        late = held.submit(2, deadline=in_seconds(0))
        fine = held.submit(3)
        await settle()
        agent.open()
        outcomes = await late
        assert isinstance(outcomes[0], DeadlineExceeded)
        assert outcomes[0].message == f"{QUEUE}: the deadline passed in the queue"
        assert doubled(await fine) == [[6, 6]]
        await first
    assert agent.batches[1] == [[[3, 3]]]


async def test_a_full_queue_refuses_and_those_inside_are_answered():
    agent = Agent(opened=False)
    async with Held(agent, max_queued_rows=2) as held:
        first = held.submit(0)
        await agent.began()
        inside = [held.submit(1), held.submit(2)]
        await settle()
        with pytest.raises(Overloaded):
            await held.submit(3)
        agent.open()
        assert [doubled(each) for each in await asyncio.gather(*inside)] == [[[2, 2]], [[4, 4]]]
        await first


async def test_a_batch_that_an_agent_refuses_is_run_again():
    agent = Agent()
    agent.fails = [Unavailable("not loaded now")]
    async with Held(agent) as held:
        assert doubled(await held.submit(4)) == [[8, 8]]
    assert len(agent.batches) == 2


async def test_a_batch_that_was_lost_is_not_run_again():
    agent = Agent()
    agent.fails = [AgentLost("the agent left")]
    async with Held(agent) as held:
        outcomes = await held.submit(4, 5)
        assert [type(each) for each in outcomes] == [AgentLost, AgentLost]
    assert len(agent.batches) == 1


async def test_one_callers_values_that_break_a_batch_fail_that_caller_alone():
    agent = Agent(opened=False)
    agent.fails = [ExecutionFailed("the batch"), ExecutionFailed("yours")]
    async with Held(agent) as held:
        agent.in_hand = 2
        callers = [held.submit(number) for number in (1, 2, 3)]
        await settle()
        agent.open()
        agent.release()
        agent.release()
        done = await asyncio.gather(*callers)
    assert done[0][0].message == "yours"
    assert [doubled(each) for each in done[1:]] == [[[4, 4]], [[6, 6]]]


async def test_giving_up_fails_what_waits_but_not_what_runs():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        running = held.submit(1)
        await agent.began()
        waiting = held.submit(2)
        await settle()
        held.queue.give_up(Unavailable("the last agent left"))
        assert isinstance((await waiting)[0], Unavailable)
        agent.open()
        assert doubled(await running) == [[2, 2]]


@pytest.mark.parametrize("numbers", [[2], [2, 3]])
async def test_who_nobody_else_ends_is_told_at_the_deadline_where_the_rows_were(numbers):
    agent = Agent(opened=False)
    async with Held(agent) as held, asyncio.timeout(10):
        own = {"deadline": in_seconds(0.02), "is_kept": False}
        running = held.submit(1, **own)
        await agent.began()
        waiting = held.submit(*numbers, **own)
        outcomes = await waiting
        assert [each.message for each in outcomes] == [
            f"{QUEUE}: the deadline passed in the queue"
        ] * len(numbers)
        (outcome,) = await running
        assert isinstance(outcome, DeadlineExceeded)
        assert outcome.message == f"{QUEUE}: the deadline passed while its batch was at work"
        agent.open()
        assert doubled(await held.submit(4)) == [[8, 8]]
    assert agent.batches == [[[[1, 1]]], [[[4, 4]]]]


async def test_a_batch_handed_over_ahead_comes_back_when_its_last_caller_is_too_late():
    agent = Agent(opened=False, max_rows=1)
    async with Held(agent) as held, asyncio.timeout(10):
        running = held.submit(1)
        await agent.began()
        (outcome,) = await held.submit(2, deadline=in_seconds(0.02), is_kept=False)
        assert isinstance(outcome, DeadlineExceeded)
        await settle()
        assert agent.withdrawn == [[[[2, 2]]]]
        agent.open()
        await running


async def test_a_request_with_more_rows_than_the_queue_holds_is_answered():
    agent = Agent(max_rows=4)
    async with Held(agent, max_queued_rows=2) as held:
        assert len(await held.submit(*range(11))) == 11
    assert [len(batch[0]) for batch in agent.batches] == [4, 4, 3]


async def test_ragged_rows_are_let_in_or_refused_together():
    agent = Agent(opened=False)
    async with Held(agent, max_queued_rows=3) as held:
        blocker = held.submit(0)
        await agent.began()
        rows = [(np.full(size, size, np.float32),) for size in (1, 2, 1)]
        inside = asyncio.create_task(held.queue.submit(CALL, rows, NOT_URGENT))
        await settle()
        with pytest.raises(Overloaded, match="3 rows wait already, 2 more"):
            await held.queue.submit(CALL, rows[:2], NOT_URGENT)
        agent.open()
        assert doubled(await inside) == [[2], [4, 4], [2]]
        await blocker


async def test_a_ragged_caller_who_leaves_leaves_with_all_its_rows():
    agent = Agent(opened=False)
    async with Held(agent) as held:
        blocker = held.submit(0)
        await agent.began()
        rows = [(np.full(size, size, np.float32),) for size in (1, 3, 1)]
        leaves = asyncio.create_task(held.queue.submit(CALL, rows, NOT_URGENT))
        await settle()
        await leave(leaves)
        agent.open()
        await blocker
    assert len(agent.batches) == 1


async def test_higher_priorities_are_executed_first():
    agent = Agent(opened=False, max_rows=1)
    async with Held(agent, priority_levels=3) as held:
        callers = [held.submit(0), held.submit(0)]  # one at work, one behind it
        await agent.began()
        await settle()
        callers += [held.submit(n, priority=level) for n, level in enumerate((3, 0, 1, 2, 1), 1)]
        await settle()
        agent.open()
        await asyncio.gather(*callers)
    assert [batch[0][0][0] for batch in agent.batches] == [0, 0, 3, 5, 2, 4, 1]


async def test_a_batch_has_a_preferred_size_and_an_idle_agent_waits_for_none():
    agent = Agent()
    async with Held(agent, preferred_batch_sizes=(2, 4)) as held:
        await held.submit(1)
        await asyncio.gather(*(held.submit(number) for number in range(7)))
    assert [len(batch[0]) for batch in agent.batches] == [1, 4, 2, 1]


async def test_rows_are_held_back_for_company_no_longer_than_the_delay():
    agent = Agent(opened=False)
    async with Held(agent, max_queue_delay_seconds=0.05) as held, asyncio.timeout(10):
        loop = asyncio.get_running_loop()
        callers = [held.submit(0)]
        await agent.began()
        began = loop.time()
        callers += [held.submit(1)]
        await settle()
        callers += [held.submit(2)]
        await settle()
        assert len(agent.batches) == 1
        await until(lambda: len(agent.batches) > 1, every=0.001, what="the next batch")
        assert loop.time() - began >= 0.05
        assert agent.batches[1] == [[[1, 1], [2, 2]]]
        callers += [held.submit(3)]
        await settle()
        agent.open()
        assert [doubled(each) for each in await asyncio.gather(*callers)] == [
            [[2 * n, 2 * n]] for n in range(4)
        ]


async def test_an_idle_agent_waits_for_no_delay():
    agent = Agent()
    async with Held(agent, max_queue_delay_seconds=60.0) as held, asyncio.timeout(10):
        assert doubled(await held.submit(5)) == [[10, 10]]
