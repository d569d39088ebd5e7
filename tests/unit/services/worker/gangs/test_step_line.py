"""Steps of an engine for the ranks of a gang: real language models, each behind a link."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from protos.serving.v1 import execution_pb2
from protos.serving.v1 import generation_pb2 as pb
from services.agent.generation.step_codec import read_step, write_outcome
from services.worker.gangs.groups import Group
from services.worker.gangs.live import LiveGang, RankAgent
from services.worker.gangs.rules import GangRules
from services.worker.gangs.step_line import GangLine
from services.worker.gangs.step_messages import StepAnswer, write_step
from services.worker.generation.continuations import Continuation
from services.worker.generation.declared import declared_of
from services.worker.generation.engine import Engine
from services.worker.generation.prompts import Limits, Prompt
from services.worker.generation.sequences import Finish
from services.worker.metrics import Metrics
from shared.errors import AgentLost, ExecutionFailed, InvalidRequest
from shared.membership import GangPart, Hello
from shared.servable import Generation, ServableVersion
from shared.tasks import task_scope
from shared.text_generation import Sampling
from tests.support.cluster import until
from tests.support.language import load, recomputed, toy

WHAT = ServableVersion("tiny", 1)
EPOCH = 7
PREFILL, DECODE = ((1, 8, 64), (4, 16, 64)), ((1, 1, 64), (4, 1, 64))
PROMPTS = [[n, n + 1, n + 2] * (n + 1) for n in range(6)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return toy(tmp_path_factory.mktemp("toy"), PREFILL, DECODE, block_size=4, blocks=64)


class Link:
    """The way to one rank; ``changes`` what it is told, before it reads it."""

    address = ""

    def __init__(self, model, changes=lambda step: None):
        self.model = model
        self.steps = []
        self.epochs = []
        self._changes = changes
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def call(self, payload, *, head, subject):
        step = pb.Step.FromString(payload)
        self._changes(step)
        self.steps.append(step)
        self.epochs.append(execution_pb2.ExecuteHead.FromString(head).epoch)
        await self.go_on.wait()
        return write_outcome(self.model.apply(read_step(step.SerializeToString())))


class Endings:
    """In the place of a formation: hears why gangs are of no use."""

    def __init__(self):
        self.reasons = []

    def refuse(self, gang, reason):
        self.reasons.append(reason)
        gang.end(reason)

    def given_back(self, gang):
        assert gang.in_hand == 0


def loaded(files, part):
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(load, files, part).result()


def line_of(files, *, changes=None, compare=False, ranks=2):
    """A line, the links behind it, and who hears of its end."""
    parts = [GangPart(EPOCH, rank, ranks, rank, ranks) for rank in range(ranks)]
    links = [Link(loaded(files, part), **(changes or {}).get(part.rank, {})) for part in parts]
    agents = [
        RankAgent(Hello(f"rank{rank}", ""), rank, link, None) for rank, link in enumerate(links)
    ]
    rules, metrics = GangRules(compare=compare), Metrics(CollectorRegistry())
    gang = LiveGang(WHAT, EPOCH, agents, [Group(range(ranks), 1)], rules, metrics)
    endings = Endings()
    return GangLine(endings, gang), links, endings


def declared(files, **rules):
    signature = load(files)._calls._model.signature
    return declared_of(
        str(WHAT), files.language, Generation(64, 4, rules=tuple(rules.items())), signature
    )


@pytest.fixture(scope="module")
def guessing(files):
    return declared(files, speculated_tokens=3)


class Text:
    """One completion."""

    def __init__(self, engine, prompt, new, sampling):
        self.tokens, self.news = [], None
        self._sampling, self._length = sampling, len(prompt)
        engine.add(Prompt(tuple(prompt), Limits(new)), [self._join])

    def _join(self, sequence):
        return Continuation(self._sampling, self._length, self._tell, lambda *_: None, sequence)

    def _tell(self, news):
        self.tokens += news.tokens
        self.news = news


async def ended(*texts):
    await until(lambda: all(each.news and each.news.finish for each in texts), what="texts to end")


def begin(engine, prompt, new=10, **sampling):
    return Text(engine, prompt, new, Sampling(**{"temperature": 0.0} | sampling))


async def test_texts_of_ranks_are_those_of_a_plain_loop(files, guessing):
    line, links, endings = line_of(files, compare=True, ranks=3)
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", guessing, scope)
        engine.attach(line)
        texts = [begin(engine, prompt) for prompt in PROMPTS]
        # Of two tokens, so that some are guessed rightly.
        few = begin(engine, [1, 2], 30, allowed_ids=(3, 4))
        await ended(*texts, few)
        engine.close()
    assert [each.tokens for each in texts] == [recomputed(each, 10) for each in PROMPTS]
    assert len(few.tokens) == 30
    assert engine.scheduler.counts.accepted_tokens > 0
    assert endings.reasons == []
    first, *others = links
    assert all(link.steps == first.steps and link.epochs == first.epochs for link in others)
    assert set(first.epochs) == {EPOCH}
    assert [bool(step.told) for step in first.steps[:2]] == [False, True]
    assert any(len(told.tokens) > 1 for step in first.steps for told in step.told)


async def outcome_of(line, *steps):
    """What came of the last one."""
    for number, step in enumerate(steps, 1):
        message = pb.Step(id=number, forget=number == 1)
        message.MergeFrom(step)
        head = execution_pb2.ExecuteHead(servable="tiny", version=1, model="toy", rows=1)
        answer = await line.run(head.SerializeToString(), message.SerializeToString())
    return pb.StepOutcome.FromString(answer)


START = pb.Step(
    starts=[pb.Start(slot=0, tokens=[5, 9, 2], prompt_tokens=3, sampling=pb.Sampling())],
    prefills=[pb.Forward(graph=0, rows=[pb.Row(slot=0, count=3, samples=True)])],
)


def decode(position):
    row = pb.Row(slot=0, position=position, count=1, samples=True)
    return pb.Step(decode=pb.Forward(graph=2, rows=[row]))


STEPS = START, decode(3), decode(4)


def tells(*tokens):
    """A link that tells its rank other tokens than the worker does."""

    def change(step):
        for told in step.told:
            told.tokens[:] = tokens

    return {"changes": change}


@pytest.mark.parametrize(
    ("rank", "tokens", "words"),
    [
        (0, [3], r"rank 0 refused what others run: .* was told tokens \[3\], chose tokens"),
        (1, [3, 4], "rank 1 refused what others run: .* should be the first of those speculated"),
        (1, [], "rank 1 refused what others run"),
    ],
)
async def test_a_rank_that_is_told_something_else_ends_its_gang(files, rank, tokens, words):
    line, _, endings = line_of(files, changes={rank: tells(*tokens)})
    with pytest.raises(AgentLost, match=words):
        await outcome_of(line, *STEPS)
    await until(lambda: endings.reasons, what="the end of the gang")
    assert "refused what others run" in endings.reasons[0]


async def test_ranks_that_compare_notice_another_token(files):
    line, _, endings = line_of(files, changes={1: tells(3)})
    assert (await outcome_of(line, *STEPS)).chosen
    line, _, endings = line_of(files, changes={1: tells(3)}, compare=True)
    with pytest.raises(ExecutionFailed, match="rank 1 found other tokens to be the most likely"):
        await outcome_of(line, *STEPS)
    await until(lambda: endings.reasons, what="the end of the gang")


async def test_what_all_ranks_refuse_ends_no_gang(files):
    line, _, endings = line_of(files)
    with pytest.raises(InvalidRequest, match="slot 0 has no sequence"):
        await outcome_of(line, pb.Step(freed=[0]))
    assert (await outcome_of(line, START)).chosen
    assert endings.reasons == []


async def test_texts_wait_for_the_next_gang(files, guessing):
    line, links, _ = line_of(files)
    after, _, _ = line_of(files)
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", guessing, scope)
        engine.attach(line)
        links[1].go_on.clear()
        text = begin(engine, PROMPTS[0])
        await until(lambda: links[1].steps, what="a step at the second rank")
        line._gang.end("rank 1: the device process ended")
        engine.detach()
        engine.attach(after)
        await ended(text)
        engine.close()
    assert text.tokens == recomputed(PROMPTS[0], 10)


async def test_texts_that_waited_in_vain_know_why_their_gang_ended(files, guessing):
    line, links, _ = line_of(files)
    async with task_scope() as scope:
        engine = Engine(WHAT, "toy", replace(guessing, patience_seconds=0.1), scope)
        engine.attach(line)
        links[0].go_on.clear()
        text = begin(engine, PROMPTS[1])
        await until(lambda: links[0].steps, what="a step at the first rank")
        line._gang.end("rank 0: the device process ended")
        engine.detach()
        await ended(text)
        engine.close()
    assert text.news.finish is Finish.ERROR
    assert isinstance(text.news.error, AgentLost)
    assert "its gang ended: rank 0: the device process ended" in text.news.error.message


async def test_a_step_in_the_hands_of_a_gang_that_leaves_says_so(files):
    line, links, _ = line_of(files)
    links[1].go_on.clear()
    step = asyncio.create_task(outcome_of(line, START))
    await until(lambda: links[1].steps, what="a step at the second rank")
    line._gang.leaving = "rank 1: its agent is shutting down"
    step.cancel()
    with pytest.raises(AgentLost, match="its gang ends: rank 1: its agent is shutting down"):
        await step
    # A caller who leaves a gang that goes on is no failure of the gang.
    line, links, _ = line_of(files)
    links[1].go_on.clear()
    step = asyncio.create_task(outcome_of(line, START))
    await until(lambda: links[1].steps, what="a step at the second rank")
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step


def test_ranks_are_told_all_that_changes_how_a_text_goes_on():
    logprobs = [pb.TokenLogprobs(logprob=-1.0, rank=1)]
    chosen = [
        pb.Chosen(slot=0, tokens=[5, 6]),
        pb.Chosen(slot=1, failure="no such token"),
        pb.Chosen(slot=2, tokens=[7], complete=True),
    ]
    answer = pb.StepOutcome(
        id=3, chosen=[*chosen, pb.Chosen(slot=3, prompt_logprobs=logprobs)], likeliest=[5, 8]
    )
    answer.chosen[0].logprobs.extend(logprobs)
    said = StepAnswer(answer.SerializeToString())
    assert said.likeliest == [5, 8]
    assert said.chosen == chosen
    step = pb.Step(id=4, freed=[1])
    written = write_step(step.SerializeToString(), said.chosen, compares=True)
    assert pb.Step.FromString(written) == pb.Step(id=4, freed=[1], told=chosen, compares=True)
    step.forget = True
    written = write_step(step.SerializeToString(), said.chosen, compares=False)
    assert pb.Step.FromString(written) == step


def test_what_is_no_answer_is_said():
    with pytest.raises(ExecutionFailed, match="the agent's answer to a step is none"):
        StepAnswer(b"\xff\xff")
