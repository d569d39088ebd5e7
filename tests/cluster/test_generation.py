"""Texts of a toy language model on real services are those of a plain loop, whatever happens."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager

import grpc
import pytest
import pytest_asyncio

from protos.serving.v1 import text_generation_pb2 as pb
from shared.ports import free_port
from shared.text_generation import Chat, DetokenizeRequest, Grammar, TokenizeRequest
from shared.wire import text_codec as codec
from shared.wire import text_replies_codec as replies
from shared.wire.text_replies_codec import read_reply
from tests.support.cluster import Cluster, children_of, until
from tests.support.devices import in_its_own_task
from tests.support.http1 import ask
from tests.support.texts import (
    CONTEXT,
    VOCABULARY,
    add_language_model,
    asked,
    choices_of,
    plainly,
    rest_of,
    texts_at,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

FIGURE = "mindserve_worker_generation_{} servable={} version=1"
# The third token behind it breaks the model that it is asked of.
BREAKS = [1, 2, 3]


class Serving:
    """A worker that clients call, and its agents."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.direct = f"127.0.0.1:{free_port()}"

    def start(self, agents: int = 1) -> None:
        self.worker = self.cluster.start_worker(
            "worker", "--clients-address", self.direct, "--priority-levels", "3"
        )
        for number in range(agents):
            self.start_agent(f"agent{number}", number)

    def start_agent(self, name: str, number: int = 0) -> None:
        self.cluster.start_agent(name, self.worker, "--device-id", str(number))

    def figure(self, name: str, servable: str = "tiny") -> float:
        return self.cluster.metrics_of("worker").get(FIGURE.format(name, servable), 0.0)

    async def is_idle(self, servable: str = "tiny") -> bool:
        return not self.figure("running", servable) and not self.figure("waiting", servable)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation")
    async with in_its_own_task(Cluster(folder)) as cluster:
        add_language_model(cluster.servables)
        add_language_model(cluster.servables, "narrow", blocks=30, prefix_cache=True)
        add_language_model(cluster.servables, "chunked", chunk_tokens=8, token_budget=12)
        add_language_model(cluster.servables, "guessing", speculated_tokens=4)
        add_language_model(cluster.servables, "slow", latency_seconds=0.02, max_waiting=8)
        faults = {str(plainly(BREAKS, 3, vocabulary=5000)[-1]): "raise"}
        add_language_model(cluster.servables, "breaking", vocabulary=5000, faults=faults)
        serving = Serving(cluster)
        serving.start()
        for name in ("tiny", "narrow", "chunked", "guessing", "slow", "breaking"):
            await cluster.ready(name, serving.direct)
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def texts(serving):
    async with texts_at(serving.direct) as texts:
        yield texts


PROMPTS = [
    list(range(10 * n, 10 * n + length))
    for n, length in enumerate((1, 3, 20, 33, 5, 40, 8, 17, 2, 60, 12, 28))
]


@pytest.mark.parametrize("model", ["tiny", "narrow", "chunked", "guessing"])
async def test_texts_of_many_callers_are_those_of_a_plain_loop(serving, texts, model):
    new = 24
    made = await asyncio.gather(
        *(texts.only(asked(prompt, model=model, new=new)) for prompt in PROMPTS)
    )
    for prompt, choice in zip(PROMPTS, made, strict=True):
        assert choice.ids == plainly(prompt, new)
        assert choice.reason == "length"
    if model == "narrow":
        assert serving.figure("preemptions_total", "narrow") > 0


async def test_a_prompt_with_a_known_beginning_is_not_computed_again(serving, texts):
    shared = list(range(250, 290))
    first = await texts.replies(asked([*shared, 1], new=6))
    before = serving.figure("prefix_hits_total")
    second = await texts.replies(asked([*shared, 2], new=6))
    assert choices_of(first)[0].ids == plainly([*shared, 1], 6)
    assert choices_of(second)[0].ids == plainly([*shared, 2], 6)
    assert first[-1].usage.cached_tokens == 0
    assert second[-1].usage.cached_tokens == 40
    assert serving.figure("prefix_hits_total") == before + 40
    # Another salt is another cache.
    third = await texts.replies(asked([*shared, 2], new=6, cache_salt="mine"))
    assert third[-1].usage.cached_tokens == 0


async def test_speculated_texts_are_those_without(serving, texts):
    # Of two tokens, so that much was there before.
    few = {"allowed_ids": (65, 66)}
    for prompt in PROMPTS[:4]:
        plain = await texts.only(asked(prompt, new=40, sampling=few))
        guessed = await texts.only(asked(prompt, model="guessing", new=40, sampling=few))
        assert guessed.ids == plain.ids
    assert serving.figure("proposed_tokens_total", "guessing") > 0
    assert serving.figure("accepted_tokens_total", "guessing") > 0


async def test_an_adapter_is_called_by_its_name(texts):
    made = await texts.only(asked([1, 2, 3], model="tiny-tuned", new=10))
    assert made.ids == plainly([1, 2, 3], 10, adapter=2) != plainly([1, 2, 3], 10)


async def test_a_text_is_read_and_written(texts):
    made = await texts.replies(asked("Hello", new=12, details=True, prompt_details=True))
    ids = list(b"Hello")
    expected = plainly(ids, 12)
    (choice,) = choices_of(made).values()
    assert choice.ids == expected
    raw = b"".join(bytes([each]) for each in expected if each < 256)
    assert choice.text == raw.decode(errors="replace")
    assert b"".join(token.text for token in choice.tokens if not token.special) == raw
    assert made[0].prompt.text == "Hello"
    assert [token.id for token in made[0].prompt.tokens] == ids
    assert all(reply.prompt is None for reply in made[1:])
    assert [reply.usage is not None for reply in made] == [False] * (len(made) - 1) + [True]
    assert (made[-1].usage.prompt_tokens, made[-1].usage.completion_tokens) == (5, 12)


async def test_a_chat_goes_through_the_template(texts):
    messages = [{"role": "user", "content": "Hi"}]
    made = await texts.only(asked(Chat(json.dumps(messages)), new=5))
    assert made.ids == plainly(list(b"user: Hi\n"), 5)


async def test_a_stop_text_ends_a_choice_wherever_tokens_are_cut(texts):
    prompt = list(b"Hello")
    whole = (await texts.only(asked(prompt, new=30))).text
    stop = whole[5:8]
    at = whole.index(stop)
    made = await texts.only(asked(prompt, new=30, stop=(stop, "never there")))
    assert (made.text, made.reason, made.stopped_by) == (whole[:at], "stop", stop)
    kept = await texts.only(asked(prompt, new=30, stop=(stop,), include_stop=True))
    assert kept.text == whole[: at + len(stop)]
    assert len(kept.ids) < 30


async def test_a_stop_token_ends_a_choice_and_is_not_in_its_text(texts):
    prompt = [1, 2, 3]
    text = plainly(prompt, 12)
    stop = text[6]
    at = text.index(stop)
    made = await texts.only(asked(prompt, new=12, sampling={"stop_ids": (stop,)}))
    assert made.ids == text[: at + 1]
    assert made.reason == "stop"
    assert made.text == bytes(each for each in text[:at] if each < 256).decode(errors="replace")


async def test_a_seed_makes_the_same_text_in_any_company(texts):
    drawn = {"temperature": 1.0, "seed": 11}
    alone = await texts.only(asked([5, 6], new=16, sampling=drawn))
    company = [asked(prompt, new=16, sampling={"temperature": 1.5}) for prompt in PROMPTS[:8]]
    among, *_ = await asyncio.gather(
        texts.only(asked([5, 6], new=16, sampling=drawn)), *map(texts.only, company)
    )
    assert among.ids == alone.ids
    choices = await texts.choices(asked([5, 6], new=16, sampling=drawn, n=3))
    assert choices[0].ids == alone.ids
    assert len({tuple(each.ids) for each in choices.values()}) == 3


async def test_logprobs_tell_of_tokens_and_of_the_prompt(texts):
    sampling = {"logprobs": 2, "prompt_logprobs": 1}
    prompt = list(range(40, 70))
    for _ in range(2):  # the second time nothing may come from the cache
        made = await texts.replies(asked(prompt, new=4, sampling=sampling, prompt_details=True))
        (choice,) = choices_of(made).values()
        for token in choice.tokens:
            assert token.rank == 1
            assert token.logprob <= 0
            assert token.alternatives[0].id == token.id
            assert len(token.alternatives) == 2
        told = made[0].prompt.tokens
        assert told[0].logprob is None
        assert [each.logprob is not None for each in told[1:]] == [True] * 29


async def test_a_grammar_is_kept(texts):
    grammar = Grammar("regex", "[ab]{3}c")
    made = await texts.only(asked("x", new=20, sampling={"grammar": grammar}))
    assert made.reason == "stop"
    assert made.text[3:] == "c"
    assert set(made.text[:3]) <= {"a", "b"}
    choices = Grammar("choices", texts=("yes", "no"))
    chosen = await texts.choices(
        asked("x", new=20, n=3, sampling={"grammar": choices, "temperature": 1.0, "seed": 3})
    )
    assert {each.text for each in chosen.values()} <= {"yes", "no"}


async def failure_of(call):
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await call
    return failure.value.code(), failure.value.details()


async def test_what_can_never_be_continued_is_refused_at_once(serving, texts):
    for request, words in (
        (asked(range(CONTEXT)), "at most 95 tokens"),
        (asked([]), "at least 1 token"),
        (asked([VOCABULARY]), "token ids from 0 to 299"),
        (asked([1], new=0), "max_new_tokens"),
        (asked([1], sampling={"temperature": -1.0}), "temperature"),
        (asked([1], sampling={"grammar": Grammar("regex", "(")}), "regex"),
        (asked([1], n=100_000), "n: expected 1 to 256"),
        (asked("x" * 100_000), "cannot fit"),
        (asked(Chat("{")), "messages"),
    ):
        status, details = await failure_of(texts.replies(request))
        assert status is grpc.StatusCode.INVALID_ARGUMENT, (words, details)
        assert words in details
    status, _ = await failure_of(texts.replies(asked([1], model="nobody")))
    assert status in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    # Nobody is blocked by them.
    assert (await texts.only(asked([1], new=3))).ids == plainly([1], 3)
    await until(serving.is_idle, what="slots to be free")


async def test_who_leaves_in_the_middle_frees_slot_and_blocks(serving, texts):
    call = texts.stream(asked([1, 2, 3], model="slow", new=90))
    assert read_reply(await call.read()).pieces
    assert serving.figure("running", "slow") == 1
    call.cancel()
    await until(lambda: serving.is_idle("slow"), what="the slot to be free")
    assert serving.figure("cache_use", "slow") == 0
    assert serving.figure("completion_tokens_total", "slow") < 80


async def test_a_text_that_fails_after_its_first_piece_is_counted_by_its_error(serving, texts):
    def answered(outcome):
        return serving.figure(f"requests_total outcome={outcome}", "breaking")

    await texts.only(asked(BREAKS, model="breaking", new=2))
    await until(lambda: answered("ok") == 1, what="the text that ends well to be counted")
    first, *_, last = await texts.replies(asked(BREAKS, model="breaking", new=9))
    assert first.pieces[0].token_ids
    assert not first.pieces[0].finish_reason
    assert last.pieces[0].error.startswith("ExecutionFailed: ")
    await until(lambda: answered("ExecutionFailed") == 1, what="it to be counted")
    assert (answered("ok"), answered("Cancelled")) == (1, 0)


async def test_a_deadline_ends_a_text(serving, texts):
    status, _ = await failure_of(texts.replies(asked([1], model="slow", new=90), timeout=0.4))
    assert status is grpc.StatusCode.DEADLINE_EXCEEDED
    await until(lambda: serving.is_idle("slow"), what="the slot to be free")


async def test_more_than_may_wait_are_refused(serving, texts):
    calls = [texts.stream(asked([n], model="slow", new=60)) for n in range(20)]
    first = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
    refused = [each for each in first if isinstance(each, grpc.aio.AioRpcError)]
    assert refused
    assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert len(refused) <= 20 - 4 - 4
    for call in calls:
        call.cancel()
    await until(lambda: serving.is_idle("slow"), what="slots to be free")


async def test_who_is_urgent_is_before_those_that_wait(serving, texts):
    running = [texts.stream(asked([n], model="slow", new=30)) for n in range(4)]
    await asyncio.gather(*(call.read() for call in running))
    ended = []

    async def run(name, **more):
        await texts.only(asked([9], model="slow", new=5, **more))
        ended.append(name)

    tasks = [asyncio.create_task(run(n)) for n in range(3)]
    await until(lambda: serving.figure("waiting", "slow") == 3, what="three that wait")
    tasks.append(asyncio.create_task(run("urgent", priority=1)))
    await until(lambda: serving.figure("waiting", "slow") == 4, what="one more")
    # One slot is free.
    running[0].cancel()
    await asyncio.gather(*tasks)
    assert ended[0] == "urgent"
    for call in running:
        call.cancel()
    await until(lambda: serving.is_idle("slow"), what="slots to be free")


async def test_tokens_of_texts_and_texts_of_tokens(texts):
    tokenize = texts.channel.unary_unary(codec.TOKENIZE_PATH)
    detokenize = texts.channel.unary_unary(codec.DETOKENIZE_PATH)
    tokens = replies.read_tokens(
        await tokenize(codec.write_tokenize(TokenizeRequest("tiny", "Hé")))
    )
    assert tokens.ids == tuple("Hé".encode())
    assert tokens.max_model_len == CONTEXT
    assert tokens.begins == (0, 1, 1)
    text = await detokenize(codec.write_detokenize(DetokenizeRequest("tiny", tokens.ids)))
    assert replies.read_text(text) == "Hé"
    unknown = codec.write_detokenize(DetokenizeRequest("tiny", (72, VOCABULARY)))
    status, details = await failure_of(detokenize(unknown))
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert "tokens: expected token ids from 0 to 299, got 300" in details


async def test_models_are_listed_with_their_adapters(texts):
    listed = await texts.channel.unary_unary(codec.LIST_MODELS_PATH)(b"")
    models = {each.name: each for each in pb.ListModelsReply.FromString(listed).models}
    assert models["tiny-tuned"].base == "tiny"
    assert models["tiny"].slots == 4
    assert models["tiny"].chat
    assert models["tiny"].device_type == "CPU"


@asynccontextmanager
async def apart(folder, agents=1, **declared):
    """A cluster of its own, for what breaks it."""
    async with Cluster(folder) as cluster:
        add_language_model(cluster.servables, **declared)
        serving = Serving(cluster)
        serving.start(agents)
        await cluster.ready("tiny", serving.direct)
        async with texts_at(serving.direct) as texts:
            yield serving, texts


async def kill(serving, who):
    process = serving.cluster.processes["agent0"]
    if who == "device process":
        (child,) = children_of(process.pid)
        os.kill(child, signal.SIGKILL)
        return
    process.kill()
    await asyncio.to_thread(process.wait)
    if who == "agent":
        serving.start_agent("agent after", 1)


@pytest.mark.parametrize("who", ["device process", "agent", "one agent of two"])
async def test_streams_resume_when_their_agent_is_killed(tmp_path, who):
    new = 40
    prompts = [[n, n + 1, n + 2] for n in range(16)]
    agents = 2 if who == "one agent of two" else 1
    async with apart(tmp_path, agents, latency_seconds=0.02) as (serving, texts):
        if agents == 2:
            await until(lambda: serving.cluster.agents_holding("tiny") == 2, what="both agents")
        calls = [texts.stream(asked(prompt, new=new)) for prompt in prompts]
        first = [await call.read() for call in calls[:4]]
        await kill(serving, who)
        rest = await asyncio.gather(*(rest_of(call) for call in calls))
        for prompt, call, begun in zip(prompts, rest, [*first, *[None] * 12], strict=True):
            made = choices_of(map(read_reply, [begun, *call] if begun else call))[0]
            assert made.reason == "length", made.error
            assert made.ids == plainly(prompt, new)
        assert (await texts.only(asked([9, 9], new=5))).ids == plainly([9, 9], 5)


async def test_a_text_that_breaks_its_agent_breaks_it_alone(tmp_path):
    poison, vocabulary = 4999, 5000
    good = [[n, n + 1] for n in range(3)]
    async with apart(
        tmp_path, vocabulary=vocabulary, faults={str(poison): "kill"}, latency_seconds=0.01
    ) as (_, texts):
        made, (status, details) = await asyncio.gather(
            asyncio.gather(*(texts.only(asked(prompt, new=30)) for prompt in good)),
            failure_of(texts.replies(asked([poison], new=30))),
        )
        assert status is grpc.StatusCode.UNAVAILABLE
        assert "servable 'tiny' version 1" in details
        for prompt, choice in zip(good, made, strict=True):
            assert choice.ids == plainly(prompt, 30, vocabulary=vocabulary)


async def test_a_worker_that_drains_ends_its_streams_first(tmp_path):
    async with apart(tmp_path, latency_seconds=0.02) as (serving, texts):
        call = texts.stream(asked([1, 2, 3], new=40))
        begun = await call.read()
        serving.cluster.processes["worker"].terminate()
        made = choices_of(map(read_reply, [begun, *await rest_of(call)]))[0]
        assert made.ids == plainly([1, 2, 3], 40)
        assert await asyncio.to_thread(serving.cluster.processes["worker"].wait, 20) == 0


async def test_a_master_streams_what_its_worker_makes(tmp_path):
    rest = f"127.0.0.1:{free_port()}"
    async with Cluster(tmp_path) as cluster:
        add_language_model(cluster.servables)
        cluster.start_master("--rest-address", rest)
        cluster.start_agent("agent0", cluster.start_worker())
        await cluster.ready("tiny")
        expected = plainly(list(b"Hello"), 12)
        text = bytes(each for each in expected if each < 256).decode(errors="replace")
        body = {"model": "tiny", "prompt": "Hello", "max_tokens": 12, "temperature": 0}
        answer = await ask(rest, "POST", "/v1/completions", body)
        assert answer.status == 200, answer
        assert answer.json["choices"][0]["text"] == text
        assert answer.json["usage"]["completion_tokens"] == 12
        listed = await ask(rest, "GET", "/v1/models")
        assert [each["id"] for each in listed.json["data"]] == ["tiny", "tiny-tuned"]
        async with texts_at(cluster.front) as texts:
            assert (await texts.only(asked("Hello", new=12))).ids == expected
            status, details = await failure_of(texts.replies(asked(range(CONTEXT))))
            assert status is grpc.StatusCode.INVALID_ARGUMENT
            assert "96 tokens" in details
        refused = await ask(rest, "POST", "/v1/completions", body | {"prompt": [1] * 96})
        assert refused.status == 400
