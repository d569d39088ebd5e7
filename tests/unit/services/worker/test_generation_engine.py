"""An engine before a device: the real one's language model, in this process."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from protos.serving.v1 import generation_pb2 as pb
from services.agent.generation.step_codec import read_step, write_outcome
from services.worker.generation.choose import (
    Standing,
    choose,
    choose_roomy,
    for_decoding,
    for_prompts,
)
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
    InvalidRequest,
    LoadFailed,
    MemoryNotShared,
    ServingError,
    Unavailable,
)
from shared.membership import GenerationRole, ModelSignature
from shared.servable import Generation, ServableVersion
from shared.tasks import task_scope
from shared.text_generation import Grammar, Sampling
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


def declared(files, patience_seconds=30.0, **rules):
    signature = signature_of(files)
    generation = Generation(64, 4, rules=tuple(rules.items()), patience_seconds=patience_seconds)
    return declared_of(str(WHAT), files.language, generation, signature)


class Device:
    """A line to a language model; ``faults`` are raised instead of the next steps.

    It holds the step of that number until ``go_on`` is set.
    """

    shares_memory = False

    def __init__(self, files, *faults, holds=0, takes_ahead=False, role=GenerationRole.BOTH):
        self.role = role
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
        self.logprobs = []
        self.events = events if events is not None else []
        self.prompt = {}
        self.sampling = GREEDY

    def join(self, sequence):
        return Continuation(self.sampling, self.prompt_tokens, self.tell, self.note, sequence)

    def tell(self, news):
        self.events.append("told")
        self.tokens += news.tokens
        self.logprobs += news.logprobs
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


async def test_texts_may_be_handed_over_before_each_step_that_is_planned(files):
    planned = []
    async with task_scope() as scope:
        device = Device(files, takes_ahead=True)
        engine = Engine(WHAT, "toy", declared(files), scope, stirred=lambda: planned.append("step"))
        engine.attach(device)
        await ended(begin(engine, [1, 2], 30))
        assert len(planned) >= len(device.steps) == 30


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
        engine = Engine(WHAT, "toy", declared(files, patience_seconds=0.05), scope)
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


async def test_texts_do_not_pay_for_failures_of_those_that_ended(files):
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", declared(files), scope)
        engine.attach(Device(files, ExecutionFailed("full"), ExecutionFailed("full")))
        ends = begin(engine, [1, 2])
        await ended(ends)
        assert ends.finish is Finish.ERROR
        # The next failure, however late, is not the end of a long one.
        await until(lambda: engine._agent.ends_at is None, what="nothing to be missing", seconds=5)


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


async def apart(files, scope, *, prefill=None, decode=None, **rules):
    """Engines of an agent for prompts and of one that decodes."""
    engines = Engines(WHAT, "toy", declared(files, **rules), scope)
    prefill = prefill or Device(files, role=GenerationRole.PREFILL)
    decode = decode or Device(files, role=GenerationRole.DECODE)
    engines.refresh({"p": prefill, "d": decode})
    return engines, prefill, decode


def rows_of(device):
    """How many tokens a device computed as parts of prompts, and how many one by one."""
    chunks = [row.length for step in device.steps for call in step.prefills for row in call.rows]
    return sum(chunks), sum(len(step.decode.rows) for step in device.steps if step.decode)


async def test_prompts_are_computed_by_one_agent_and_continued_by_another(files):
    async with task_scope() as scope:
        engines, prefill, decode = await apart(files, scope)
        texts = [begin(engines, prompt) for prompt in PROMPTS]
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=True):
            assert told.tokens == recomputed(prompt, 10)
        assert rows_of(prefill) == (sum(map(len, PROMPTS)), 0)
        assert rows_of(decode) == (0, 9 * len(PROMPTS))
        counts = engines.counts
        assert counts.hand_overs == len(PROMPTS)
        assert counts.transferred_tokens == sum(map(len, PROMPTS))
        token_bytes = engines.declared.token_bytes
        assert counts.transferred_bytes == token_bytes * counts.transferred_tokens
        await until(lambda: not engines.running, what="slots to be free on both sides")
        assert engines.cache_use == 0


async def test_a_seed_makes_the_same_text_apart(files):
    async with task_scope() as scope:
        sampling = Sampling(temperature=1.5, seed=7, repetition_penalty=1.3, logprobs=2)
        whole = Engine(WHAT, "toy", declared(files), scope)
        whole.attach(Device(files))
        alone = [begin(whole, prompt, 20, sampling=sampling) for prompt in PROMPTS]
        engines, *_ = await apart(files, scope)
        texts = [begin(engines, prompt, 20, sampling=sampling) for prompt in PROMPTS]
        await ended(*alone, *texts)
        assert [each.tokens for each in texts] == [each.tokens for each in alone]
        assert [each.logprobs for each in texts] == [each.logprobs for each in alone]
        assert all(len(each.logprobs) == 20 for each in texts)


async def test_a_text_of_one_token_stays_where_its_prompt_is_computed(files):
    async with task_scope() as scope:
        engines, _, decode = await apart(files, scope)
        told = begin(engines, [1, 2, 3], 1)
        await ended(told)
        assert told.tokens == recomputed([1, 2, 3], 1)
        assert not decode.steps


async def test_a_text_that_ends_by_what_is_told_first_is_not_handed_over(files):
    async with task_scope() as scope:
        engines, _, decode = await apart(files, scope)
        told = Told(3)
        plain = told.tell
        told.tell = lambda news: (plain(news), engines.cancel(told.continuation))
        (told.continuation,) = engines.add(Prompt((1, 2, 3), Limits(10)), [told.join])
        await until(lambda: told.tokens and not engines.running, what="the text to end")
        assert told.tokens == recomputed([1, 2, 3], 1)
        assert not decode.steps


async def test_long_caches_travel_in_parts(files):
    async with task_scope() as scope:
        engines, prefill, decode = await apart(files, scope, transfer_tokens=6)
        told = begin(engines, range(40), 10)
        await ended(told)
        assert told.tokens == recomputed(range(40), 10)
        exported = [each for step in prefill.steps for each in step.exports]
        imported = [each for step in decode.steps for each in step.imports]
        assert [(each.position, each.tokens) for each in exported] == [
            *((6 * n, 6) for n in range(6)),
            (36, 4),
        ]
        assert [(each.position, each.tokens) for each in imported] == [
            (each.position, each.tokens) for each in exported
        ]
        assert all(len(step.exports) < 2 for step in prefill.steps)
        assert all(len(step.imports) < 2 for step in decode.steps)


async def test_what_the_agent_that_decodes_has_does_not_travel_again(files):
    async with task_scope() as scope:
        engines, prefill, _ = await apart(files, scope)
        shared = list(range(20))
        for last in range(30, 33):
            told = begin(engines, [*shared, last], 4)
            await ended(told)
            assert told.tokens == recomputed([*shared, last], 4)
        assert [each.position for step in prefill.steps for each in step.exports] == [0, 20, 20]
        assert engines.counts.transferred_tokens == 21 + 1 + 1


async def test_copies_of_a_prompt_travel_once(files):
    async with task_scope() as scope:
        engines, _, _ = await apart(files, scope)
        prompt = list(range(21))
        told = [Told(21) for _ in range(3)]
        sampling = [Sampling(temperature=1.0, seed=n) for n in range(3)]
        for each, chosen in zip(told, sampling, strict=True):
            each.sampling = chosen
        engines.add(Prompt(tuple(prompt), Limits(10), copies=3), [each.join for each in told])
        await ended(*told)
        assert engines.counts.transferred_tokens == 21 + 1 + 1
        assert len({tuple(each.tokens) for each in told}) == 3


async def test_texts_wait_in_their_slots_for_room_where_they_go_on(files):
    async with task_scope() as scope:
        decode = Device(files, holds=4, role=GenerationRole.DECODE)
        engines, prefill, _ = await apart(files, scope, decode=decode)
        texts = [begin(engines, [n, n + 1], 30) for n in range(9)]
        await decode.held()
        # Four are there, four are held, one waits.
        await until(lambda: engines.held == 4, what="four that are held")
        assert all(each.tokens for each in texts[:8])
        assert not texts[8].tokens
        assert engines.waiting == 1
        decode.go_on.set()
        await ended(*texts)
        assert [each.tokens for each in texts] == [recomputed([n, n + 1], 30) for n in range(9)]
        assert max(start.slot for step in prefill.steps for start in step.starts) == 3


async def test_what_a_step_completes_is_given_away_in_that_step(files):
    async with task_scope() as scope:
        engines, prefill, decode = await apart(files, scope)
        texts = [begin(engines, range(first, first + 40), 20) for first in (0, 10)]
        texts.append(begin(engines, [7], 1))  # ends with its first token
        await ended(*texts)
        assert [each.tokens for each in texts[:2]] == [
            recomputed(range(first, first + 40), 20) for first in (0, 10)
        ]
        assert [each.slot for step in prefill.steps for each in step.exports] == [0, 1]
        for step in prefill.steps:
            complete = [row.slot for call in step.prefills for row in call.rows if row.samples]
            assert [each.slot for each in step.exports] == [each for each in complete if each < 2]
        # The second time nothing is given that is known on the other side, too.
        again = begin(engines, [*range(40), 1], 5)
        await ended(again)
        (export,) = prefill.steps[-1].exports
        assert (export.position, export.tokens) == (40, 1)
        *_, taken = [each for step in decode.steps for each in step.imports]
        assert (taken.position, taken.tokens) == (40, 1)


async def test_a_prompt_that_fails_in_its_only_step_harms_nobody(files):
    broken = Sampling(temperature=0.0, grammar=Grammar("regex", "["))
    async with task_scope() as scope:
        engines, prefill, _ = await apart(files, scope)
        texts = [begin(engines, [n, 1], 8, sampling=GREEDY if n else broken) for n in range(4)]
        await ended(*texts)
        assert texts[0].finish is Finish.ERROR
        assert isinstance(texts[0].error, InvalidRequest | ExecutionFailed)
        assert [each.tokens for each in texts[1:]] == [recomputed([n, 1], 8) for n in (1, 2, 3)]
        # No step was done again.
        assert [each.forget for each in prefill.steps].count(True) == 1


@pytest.mark.parametrize("held_at", ["the second part", "the last part"])
async def test_who_leaves_on_the_way_frees_both_sides(files, held_at):
    async with task_scope() as scope:
        prefill = Device(
            files, holds=4 if held_at == "the second part" else 9, role=GenerationRole.PREFILL
        )
        engines, *_ = await apart(files, scope, prefill=prefill, transfer_tokens=6)
        told = begin(engines, range(40), 20)
        await prefill.held()
        assert prefill.steps[-1].exports
        assert engines.running == 2
        engines.cancel(told.continuation)
        assert engines.running == 0
        prefill.go_on.set()
        after = begin(engines, [5, 6], 4)
        await ended(after)
        assert after.tokens == recomputed([5, 6], 4)
        assert engines.cache_use == 0
        assert told.tokens == recomputed(range(40), 1)


async def test_a_deadline_on_the_way_ends_the_text_once(files):
    async with task_scope() as scope:
        prefill = Device(files, holds=7, role=GenerationRole.PREFILL)
        engines, *_ = await apart(files, scope, prefill=prefill, transfer_tokens=6)
        now = asyncio.get_running_loop().time()
        told = begin(engines, range(40), 20, deadline=Deadline.after(0.3, now=now))
        await ended(told)
        assert told.finish is Finish.DEADLINE
        prefill.go_on.set()
        await until(lambda: not engines.running, what="slots to be free on both sides")


async def test_what_a_lost_agent_did_not_give_is_computed_where_the_text_is(files):
    async with task_scope() as scope:
        prefill = Device(files, holds=8, role=GenerationRole.PREFILL)
        engines, _, decode = await apart(files, scope, prefill=prefill, transfer_tokens=6)
        told = begin(engines, range(40), 10)
        await prefill.held()
        engines.refresh({"d": decode})
        await ended(told)
        assert told.tokens == recomputed(range(40), 10)
        # Something had come already.
        assert 0 < rows_of(decode)[0] < 40
        # And prompts go there now, until an agent for them is back.
        after = begin(engines, [3, 4], 4)
        await ended(after)
        assert after.tokens == recomputed([3, 4], 4)
        back = Device(files, role=GenerationRole.PREFILL)
        engines.refresh({"d": decode, "p": back})
        last = begin(engines, [5, 6], 4)
        await ended(last)
        assert rows_of(back) == (2, 0)


async def test_texts_of_a_lost_agent_that_decodes_begin_at_one_for_prompts(files):
    async with task_scope() as scope:
        decode = Device(files, holds=6, role=GenerationRole.DECODE)
        engines, prefill, _ = await apart(files, scope, decode=decode)
        texts = [begin(engines, prompt, 20) for prompt in PROMPTS]
        await decode.held()
        other = Device(files, role=GenerationRole.DECODE)
        engines.refresh({"p": prefill, "d2": other})
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=True):
            assert told.tokens == recomputed(prompt, 20)


async def test_nobody_is_asked_while_no_agent_decodes(files):
    async with task_scope() as scope:
        decode = Device(files, holds=4, role=GenerationRole.DECODE)
        engines, prefill, _ = await apart(files, scope, decode=decode)
        told = begin(engines, [1, 2, 3], 20)
        await decode.held()
        engines.refresh({"p": prefill})
        with pytest.raises(Unavailable, match="continues texts"):
            begin(engines, [4], 4)
        await until(lambda: engines.held == 1, what="the text to be computed again")
        engines.refresh({"p": prefill, "d": Device(files, role=GenerationRole.DECODE)})
        await ended(told)
        assert told.tokens == recomputed([1, 2, 3], 20)


async def test_texts_wait_for_an_agent_that_decodes_and_not_for_ever(files):
    async with task_scope() as scope:
        rules = declared(files, patience_seconds=0.2)
        engine = Engine(WHAT, "toy", rules, scope, role=GenerationRole.PREFILL)
        engine.attach(Device(files, role=GenerationRole.PREFILL))
        engine.have_takers(False)
        told = begin(engine, [1, 2], 20)
        await ended(told)
        assert told.finish is Finish.ERROR
        assert isinstance(told.error, AgentLost)
        assert "decodes" in told.error.message


async def test_agents_that_do_both_compute_prompts_and_take_texts(files):
    async with task_scope() as scope:
        engines = Engines(WHAT, "toy", declared(files), scope)
        prefill, both = Device(files, role=GenerationRole.PREFILL), Device(files)
        engines.refresh({"b": both, "p": prefill})
        texts = [begin(engines, prompt) for prompt in PROMPTS]
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=True):
            assert told.tokens == recomputed(prompt, 10)
        assert rows_of(prefill)[0]
        assert rows_of(prefill)[1] == 0
        assert rows_of(both)[0]


@pytest.mark.parametrize("who", ["prefill", "decode"])
async def test_a_step_of_either_that_came_to_nothing_is_done_again(files, who):
    async with task_scope() as scope:
        faults = [None] * 4 + [MemoryNotShared("elsewhere"), None, None, ExecutionFailed("full")]
        devices = {
            each: Device(files, *(faults if each == who else ()), role=GenerationRole(each))
            for each in ("prefill", "decode")
        }
        engines, *_ = await apart(files, scope, **devices, transfer_tokens=4)
        texts = [begin(engines, prompt, 20) for prompt in PROMPTS]
        await ended(*texts)
        for prompt, told in zip(PROMPTS, texts, strict=True):
            assert told.tokens == recomputed(prompt, 20)
        assert not devices[who].faults
        await until(lambda: not engines.running, what="slots to be free on both sides")


async def test_a_cache_that_cannot_be_taken_in_is_computed_where_the_text_is(files):
    async with task_scope() as scope:
        engines, _, decode = await apart(files, scope, transfer_tokens=6)
        plain = decode.run

        async def run(head, message):
            if read_step(message).imports:
                raise ExecutionFailed("full")
            return await plain(head, message)

        decode.run = run
        told = begin(engines, range(40))
        await ended(told)
        assert told.tokens == recomputed(range(40), 10)
        assert rows_of(decode)[0] == 41
        await until(lambda: not engines.running, what="slots to be free on both sides")


async def test_an_answer_with_too_little_cache_is_a_failed_step(files):
    async with task_scope() as scope:
        engines, prefill, _ = await apart(files, scope)
        plain, wrong = prefill.run, [True]

        async def run(head, message):
            answer = pb.StepOutcome.FromString(await plain(head, message))
            if answer.exported and wrong:
                wrong.clear()
                answer.exported[0] = answer.exported[0][:-4]
            return answer.SerializeToString()

        prefill.run = run
        told = begin(engines, [1, 2, 3], 10)
        await ended(told)
        assert told.tokens == recomputed([1, 2, 3], 10)
        assert not wrong


def test_engines_are_chosen_by_what_they_know_and_by_load():
    assert choose([Standing(3, 0), Standing(2, 0), Standing(2, 0)], slots=4) == 1
    assert choose([Standing(0, 0), Standing(4, 16)], slots=4) == 1
    assert choose([Standing(0, 0), Standing(5, 16)], slots=4) == 0
    assert choose([Standing(1, 16), Standing(0, 16)], slots=4) == 1


def test_who_has_no_room_is_not_chosen():
    assert choose_roomy([None, Standing(2, 0), Standing(1, 0)], slots=4) == 2
    assert choose_roomy([None, Standing(2, 16), Standing(1, 0)], slots=4) == 1
    assert choose_roomy([None, None], slots=4) is None
    assert choose_roomy([], slots=4) is None


def test_who_computes_prompts_and_who_continues_texts():
    both, prefill, decode = GenerationRole
    assert for_prompts([decode, prefill, both]) == [1, 2]
    assert for_decoding([decode, prefill, both]) == [0, 2]
    assert for_prompts([decode, decode]) == [0, 1]
    assert for_decoding([prefill]) == for_prompts([]) == []


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
