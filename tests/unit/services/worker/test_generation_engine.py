"""An engine before a device: the real one's language model, in this process."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.agent.generation.step_codec import read_step, write_outcome
from services.worker.generation.choose import Standing, choose
from services.worker.generation.continuations import Continuation
from services.worker.generation.declared import declared_of
from services.worker.generation.engine import Engine
from services.worker.generation.engines import Engines
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.sequences import Finish
from shared.deadline import Deadline
from shared.errors import (
    AgentLost,
    DeadlineExceeded,
    ExecutionFailed,
    LoadFailed,
    ServingError,
    Unavailable,
)
from shared.membership import ModelSignature
from shared.servable import Generation, ServableVersion
from shared.tasks import task_scope
from shared.text_generation import Sampling
from tests.support.cluster import until
from tests.support.language import VOCABULARY, load, recomputed, toy

WHAT = ServableVersion("tiny", 1)
PREFILL, DECODE = ((1, 8, 64), (4, 16, 64)), ((1, 1, 64), (4, 1, 64))
GREEDY = Sampling(temperature=0.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("toy"), PREFILL, DECODE, block_size=4, blocks=64)


def loaded(files):
    """The model reads its files, which no event loop may."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(load, files).result()


def signature_of(files) -> ModelSignature:
    return loaded(files)._calls._model.signature


def declared(files, **rules):
    signature = signature_of(files)
    return declared_of(
        str(WHAT), files.language, Generation(64, 4, rules=tuple(rules.items())), signature
    )


class Device:
    """A line to a language model; ``faults`` are raised instead of the next steps.

    It holds the step of that number until ``go_on`` is set.
    """

    def __init__(self, files, *faults, holds=0, takes_ahead=False):
        self.takes_ahead = takes_ahead
        self.works = asyncio.Lock()
        self.holds = holds
        self.model = loaded(files)
        self.faults = list(faults)
        self.steps = []
        self.events = []
        self.go_on = asyncio.Event()

    async def held(self):
        await until(lambda: len(self.steps) == self.holds, what="the step that is held")

    async def run(self, head, message):
        step = read_step(message)
        self.steps.append(step)
        self.events.append("asked")
        held = len(self.steps) == self.holds
        async with self.works:
            if held:
                await self.go_on.wait()
            if self.faults and (fault := self.faults.pop(0)) is not None:
                raise fault
            answer = write_outcome(self.model.apply(step))
            # Others do something while it computes.
            await asyncio.sleep(0)
            return answer


class Told:
    """Who hears of one completion."""

    def __init__(self, prompt_tokens, events=None):
        self.prompt_tokens = prompt_tokens
        self.tokens, self.finish, self.error = [], None, None
        self.events = events if events is not None else []
        self.prompt = {}
        self.sampling = GREEDY

    def join(self, sequence):
        return Continuation(self.sampling, self.prompt_tokens, self.tell, self.note, sequence)

    def tell(self, news):
        self.events.append("told")
        self.tokens += news.tokens
        self.finish, self.error = news.finish or self.finish, news.error

    def note(self, position, logprobs):
        self.prompt |= enumerate(logprobs, position)


def begin(engine, tokens, new=10, *, events=None, sampling=GREEDY, **more):
    told = Told(len(tokens), events)
    told.sampling = sampling
    (told.continuation,) = engine.add(Prompt(tuple(tokens), Limits(new), **more), [told.join])
    return told


async def ended(*told):
    await until(lambda: all(each.finish for each in told), what="texts to end")


PROMPTS = [[n, n + 1, n + 2] * (n + 1) for n in range(6)]


async def test_texts_are_those_of_a_plain_loop(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        engine.attach(Device(files))
        texts = [begin(engine, prompt) for prompt in PROMPTS]
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=True):
            assert told.tokens == recomputed(prompt, 10)
            assert told.finish is Finish.LENGTH


async def test_what_came_is_told_while_the_next_step_is_at_work(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files)
        engine.attach(device)
        told = begin(engine, [1, 2], 4, events=device.events)
        await ended(told)
        assert device.events == ["asked", "asked", "told", "asked", "told", "asked", "told", "told"]


async def test_a_step_is_asked_for_while_the_one_before_it_is_at_work(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files, holds=3, takes_ahead=True)
        engine.attach(device)
        texts = [begin(engine, prompt, 12) for prompt in PROMPTS[:4]]
        await until(lambda: len(device.steps) == 4, what="the step behind the one that is held")
        assert [len(told.tokens) for told in texts] == [2] * 4
        assert all(
            row.position == len(PROMPTS[row.slot]) + 2 for row in device.steps[3].decode.rows
        )
        device.go_on.set()
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=False):
            assert told.tokens == recomputed(prompt, 12)
        assert len(device.steps) == 12


async def test_what_is_computed_behind_the_end_of_a_text_is_told_to_nobody(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files, takes_ahead=True)
        engine.attach(device)
        expected = recomputed([1, 2], 8)
        stop = Limits(30, stop_ids=frozenset({expected[7]}))
        stops, stays = Told(2), begin(engine, [3, 4], 30)
        (stops.continuation,) = engine.add(Prompt((1, 2), stop), [stops.join])
        await ended(stops, stays)
        end = expected.index(expected[7]) + 1
        assert (stops.tokens, stops.finish) == (expected[:end], Finish.STOP)
        assert stays.tokens == recomputed([3, 4], 30)
        after = begin(engine, [1, 2], 8)
        await ended(after)
        assert after.tokens == expected


async def test_an_idle_engine_waits_for_nothing_but_an_event(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files)
        engine.attach(device)
        await ended(begin(engine, [1, 2], 4))
        rounds, before = 0, engine._wait

        async def counted():
            nonlocal rounds
            rounds += 1
            await before()

        engine._wait = counted
        for _ in range(50):
            await asyncio.sleep(0)
        assert rounds == 0
        assert len(device.steps) == 4


async def test_who_leaves_is_out_of_the_step_behind_the_next(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files, holds=5, takes_ahead=True)
        engine.attach(device)
        stays, leaves = begin(engine, [1, 2], 30), begin(engine, [3, 4], 30)
        await until(lambda: len(device.steps) == 6, what="the step behind the one that is held")
        engine.cancel(leaves.continuation)
        device.go_on.set()
        await ended(stays)
        assert stays.tokens == recomputed([1, 2], 30)
        assert leaves.tokens == recomputed([3, 4], 4)
        assert device.steps[6].freed == [1]
        assert all([row.slot for row in step.decode.rows] == [0] for step in device.steps[6:])


async def test_who_leaves_is_out_of_the_next_step(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files, holds=5)
        engine.attach(device)
        stays, leaves = begin(engine, [1, 2], 30), begin(engine, [3, 4], 30)
        await device.held()
        engine.cancel(leaves.continuation)
        assert engine.load == 1
        device.go_on.set()
        await ended(stays)
        assert stays.tokens == recomputed([1, 2], 30)
        assert leaves.tokens == recomputed([3, 4], 4)
        assert device.steps[5].freed == [1]
        assert all([row.slot for row in step.decode.rows] == [0] for step in device.steps[5:])


@pytest.mark.parametrize(
    "fault",
    [AgentLost("gone"), ExecutionFailed("out of memory"), Unavailable("starting")],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("takes_ahead", [False, True])
async def test_a_step_that_came_to_nothing_is_done_again(files, fault, takes_ahead):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files, None, None, None, fault, takes_ahead=takes_ahead)
        engine.attach(device)
        texts = [begin(engine, prompt) for prompt in PROMPTS[:4]]
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=False):
            assert told.tokens == recomputed(prompt, 10)
        forgets = [number for number, step in enumerate(device.steps) if step.forget]
        # The step behind the one that failed was asked for, and is done again, too.
        assert forgets == [0, 4 + takes_ahead]


async def test_refusals_do_not_count_against_texts(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        engine.attach(Device(files, *[Unavailable("starting")] * 4))
        told = begin(engine, [1, 2], 4)
        await ended(told)
        assert told.tokens == recomputed([1, 2], 4)


async def test_a_text_that_breaks_steps_ends_with_the_error(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        engine.attach(Device(files, *[ExecutionFailed("out of memory")] * 2))
        told = begin(engine, [1, 2], 4)
        await ended(told)
        assert told.finish is Finish.ERROR
        assert isinstance(told.error, ExecutionFailed)
        after = begin(engine, [3, 4], 4)
        await ended(after)
        assert after.tokens == recomputed([3, 4], 4)


async def test_an_answer_that_is_none_is_a_failed_step(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        device = Device(files)
        plain = device.run
        answers = [b"\xff", None]

        async def run(head, message):
            answer = await plain(head, message)
            return (answers.pop(0) if answers else None) or answer

        device.run = run
        engine.attach(device)
        told = begin(engine, [1, 2], 4)
        await ended(told)
        assert told.tokens == recomputed([1, 2], 4)


async def test_texts_wait_for_an_agent_and_not_for_ever(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope, patience_seconds=0.05)
        device = Device(files, holds=5)
        engine.attach(device)
        told = begin(engine, [1, 2], 50)
        await device.held()
        engine.detach()
        device.go_on.set()
        await ended(told)
        assert told.finish is Finish.ERROR
        assert isinstance(told.error, AgentLost)
        engine.attach(Device(files))
        after = begin(engine, [3, 4], 4)
        await ended(after)
        assert after.tokens == recomputed([3, 4], 4)


async def test_a_deadline_is_kept_while_nobody_works(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        now = asyncio.get_running_loop().time()
        told = begin(engine, [1, 2], 50, deadline=Deadline.after(0.05, now=now))
        await ended(told)
        assert told.finish is Finish.DEADLINE
        assert isinstance(told.error, DeadlineExceeded)


async def test_how_likely_tokens_were_is_told_of_each(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files, chunk_tokens=8), scope)
        engine.attach(Device(files))
        sampling = Sampling(temperature=0.0, logprobs=1, prompt_logprobs=2)
        heard = []
        told = Told(20)
        told.sampling = sampling
        tell = told.tell
        told.tell = lambda news: (tell(news), heard.extend(news.logprobs))
        engine.add(Prompt(tuple(range(20)), Limits(5)), [told.join])
        await ended(told)
        assert [each.ids[0] for each in heard] == told.tokens
        assert sorted(told.prompt) == list(range(1, 20))


async def test_texts_of_a_lost_agent_go_on_with_another_one(files):
    async with task_scope() as scope:
        engines = Engines(WHAT, "toy", declared(files), scope)
        first, second = Device(files, holds=6), Device(files)
        engines.refresh({"a": first})
        texts = [begin(engines, prompt, 20) for prompt in PROMPTS]
        await first.held()
        engines.refresh({"a": first, "b": second})
        engines.refresh({"b": second})
        first.go_on.set()
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=True):
            assert told.tokens == recomputed(prompt, 20)
        assert len(first.steps) == 6
        # What it continues it computes as its prompt, and still knows how long the prompt was.
        start = second.steps[0].starts[0]
        assert len(start.tokens) > start.prompt_tokens
        assert engines.running == engines.waiting == 0


async def test_texts_wait_for_the_next_agent(files):
    async with task_scope() as scope:
        engines = Engines(WHAT, "toy", declared(files), scope)
        first = Device(files, holds=4)
        engines.refresh({"a": first})
        told = begin(engines, [1, 2], 20)
        await first.held()
        engines.refresh({})
        with pytest.raises(Unavailable):
            begin(engines, [3], 4)
        engines.refresh({"b": Device(files)})
        await ended(told)
        assert told.tokens == recomputed([1, 2], 20)


async def test_nothing_is_known_of_the_cache_of_an_agent_that_left(files):
    async with task_scope() as scope:
        engines = Engines(WHAT, "toy", declared(files), scope)
        engines.refresh({"a": Device(files)})
        prompt = list(range(20))
        await ended(begin(engines, prompt, 4))
        # Idle, so no step says that it left.
        engines.refresh({})
        second = Device(files)
        engines.refresh({"b": second})
        told = begin(engines, prompt, 4)
        await ended(told)
        assert told.tokens == recomputed(prompt, 4)
        assert [step.forget for step in second.steps] == [True, *[False] * 4]
        assert second.steps[0].starts[0].blocks == []


async def test_a_prompt_goes_where_its_beginning_is_known(files):
    async with task_scope() as scope:
        engines = Engines(WHAT, "toy", declared(files), scope)
        devices = [Device(files, holds=2), Device(files)]
        engines.refresh(dict(zip("ab", devices, strict=True)))
        shared = list(range(20))
        held = begin(engines, [50], 60)  # the first one holds its second step
        one = begin(engines, shared, 4)
        await ended(one)
        assert any(step.starts for step in devices[1].steps)
        engines.cancel(held.continuation)
        devices[0].go_on.set()
        for last in range(3):
            before = len(devices[1].steps)
            told = begin(engines, [*shared, last], 4)
            await ended(told)
            assert len(devices[1].steps) > before
            assert told.tokens == recomputed([*shared, last], 4)
        assert engines.counts.prefix_hits == 60


def test_engines_are_chosen_by_what_they_know_and_by_load():
    assert choose([Standing(3, 0), Standing(2, 0), Standing(2, 0)], slots=4) == 1
    assert choose([Standing(0, 0), Standing(4, 16)], slots=4) == 1
    assert choose([Standing(0, 0), Standing(5, 16)], slots=4) == 0
    assert choose([Standing(1, 16), Standing(0, 16)], slots=4) == 1


@pytest.mark.parametrize(
    ("generation", "words"),
    [
        (Generation(65, 4), "length 65"),
        (Generation(64, 5), "5 rows"),
        (Generation(64, 4, rules=(("token_budget", 4),)), "token_budget"),
    ],
)
def test_graphs_that_are_too_small_are_not_served(files, generation, words):
    signature = signature_of(files)
    with pytest.raises(LoadFailed, match=words) as failure:
        declared_of(str(WHAT), files.language, generation, signature)
    assert str(WHAT) in failure.value.message
    assert isinstance(failure.value, ServingError)


def test_the_vocabulary_is_that_of_the_graphs(files):
    assert declared(files).rules.vocabulary == VOCABULARY
