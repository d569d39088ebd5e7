"""Clients that their users have already, before a master, a worker and a model that computes.

What they get is the text of a plain loop; ``tests/compat/test_text_clients.py`` has every field.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import openai
import pytest
import pytest_asyncio
from huggingface_hub import InferenceClient
from text_generation import Client
from text_generation.errors import ValidationError

from shared.ports import free_port
from tests.support.cluster import Cluster, children_of, until
from tests.support.devices import in_its_own_task
from tests.support.examples import blocks
from tests.support.http1 import ask
from tests.support.texts import CONTEXT, add_language_model, plainly

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
    # The client of TGI was written for pydantic 1.
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),
]

ANSWER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "kind": {"enum": ["module", "class"]},
        "sure": {"type": "boolean"},
    },
    "required": ["name", "kind", "sure"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Ulm", "Bonn"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def readable(ids):
    """The text of tokens; those that are no bytes are special or have none."""
    return bytes(each for each in ids if each < 256).decode(errors="replace")


class Served:
    """A stack with a REST door."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.rest = f"127.0.0.1:{free_port()}"

    async def start(self, *models):
        self.cluster.start_master("--rest-address", self.rest, "--text-model", "tiny")
        worker = self.cluster.start_worker("worker", "--vllm-metric-names")
        self.cluster.start_agent("agent", worker)
        for model in models:
            await self.cluster.ready(model)
        await until(self.is_healthy, what="the door to know of its models")

    async def is_healthy(self):
        try:
            return (await ask(self.rest, "GET", "/health")).status == 200
        except OSError:
            return False

    def openai(self, **more):
        base_url = f"http://{self.rest}/v1"
        return openai.OpenAI(base_url=base_url, api_key="unused", **{"max_retries": 0} | more)

    def figure(self, name, model):
        return self.cluster.metrics_of("worker").get(
            f"vllm:{name} engine=1 model_name={model}", 0.0
        )

    async def is_idle(self, model):
        busy = ("num_requests_running", "num_requests_waiting")
        return not any(self.figure(name, model) for name in busy)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with in_its_own_task(Cluster(tmp_path_factory.mktemp("clients"))) as cluster:
        add_language_model(cluster.servables)
        add_language_model(cluster.servables, "slow", latency_seconds=0.05, max_waiting=2)
        add_language_model(cluster.servables, "steady", latency_seconds=0.05)
        served = Served(cluster)
        await served.start("tiny", "slow", "steady")
        yield served


def completed(client, prompt="Hello", new=12, **more):
    """The text of one completion."""
    asked = {"model": "tiny", "temperature": 0, "max_tokens": new} | more
    return client.completions.create(prompt=prompt, **asked).choices[0].text


async def inside(work, *args):
    return await asyncio.to_thread(work, *args)


async def test_openai_completes_and_chats_streaming_and_not(served):
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "temperature": 0}

    def asked():
        with served.openai() as client:
            options = {"stream": True, "stream_options": {"include_usage": True}}
            *chunks, last = client.completions.create(
                model="tiny", prompt="Hello", max_tokens=12, temperature=0, **options
            )
            whole = client.chat.completions.create(**chat, max_tokens=8)
            parts = client.chat.completions.create(**chat, max_tokens=8, stream=True)
            said = "".join(each.choices[0].delta.content or "" for each in parts)
            streamed = "".join(each.choices[0].text for each in chunks)
            return completed(client), streamed, last.usage, whole, said

    text, streamed, usage, whole, said = await inside(asked)
    assert text == streamed == readable(plainly(b"Hello", 12))
    assert (usage.prompt_tokens, usage.completion_tokens) == (5, 12)
    (choice,) = whole.choices
    assert choice.message.content == said == readable(plainly(b"user: Hi\n", 8))
    assert choice.finish_reason == "length"


async def test_an_adapter_is_a_model_of_its_own_name(served):
    def asked():
        with served.openai() as client:
            names = [each.id for each in client.models.list()]
            return names, completed(client), completed(client, model="tiny-tuned")

    names, plain, tuned = await inside(asked)
    assert {"tiny", "tiny-tuned", "slow", "slow-tuned"} < set(names)
    assert plain == readable(plainly(b"Hello", 12))
    assert tuned == readable(plainly(b"Hello", 12, adapter=2)) != plain


@pytest.mark.parametrize("seed", range(4))
async def test_random_weights_still_write_what_a_schema_wants(served, seed):
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER}}
    drawn = {"temperature": 1.5, "seed": seed, "max_tokens": 80}
    chat = {"model": "tiny", "messages": [{"role": "user", "content": "?"}]} | drawn

    def asked():
        with served.openai() as client:
            answer = client.chat.completions.create(**chat, response_format=form)
            called = client.chat.completions.create(**chat, tools=[WEATHER], tool_choice="required")
            regex = {"structured_outputs": {"regex": "[ab]{4}-[0-9]{2}"}}
            choice = {"structured_outputs": {"choice": ["yes", "no"]}}
            texts = [completed(client, **drawn, extra_body=each) for each in (regex, choice)]
            return answer.choices[0], called.choices[0], *texts

    answer, called, matched, chosen = await inside(asked)
    said = json.loads(answer.message.content)
    assert set(said) == {"name", "kind", "sure"}
    assert len(said["name"]) <= 6
    assert said["kind"] in ("module", "class")
    assert isinstance(said["sure"], bool)
    assert answer.finish_reason == "stop"
    assert called.finish_reason == "tool_calls"
    (call,) = called.message.tool_calls
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in ("Ulm", "Bonn")
    assert re.fullmatch("[ab]{4}-[0-9]{2}", matched)
    assert chosen in ("yes", "no")


async def test_a_seed_makes_the_same_text_whatever_else_is_in_the_batch(served):
    drawn = {"temperature": 1.0, "seed": 7, "new": 16}

    def asked(prompt="Hello", **more):
        with served.openai() as client:
            return completed(client, prompt, **more)

    alone = await inside(lambda: asked(**drawn))
    hot = [inside(lambda n=n: asked(f"{n}", temperature=1.7, top_p=0.9, new=24)) for n in range(6)]
    among, greedy, *_ = await asyncio.gather(
        inside(lambda: asked(**drawn)), inside(lambda: asked(new=16)), *hot
    )
    assert among == alone
    assert greedy == readable(plainly(b"Hello", 16)) != alone


async def test_errors_are_the_clients_own(served):
    def fails(error, **more):
        with served.openai() as client, pytest.raises(error) as raised:
            completed(client, **more)
        return raised.value

    long = await inside(lambda: fails(openai.BadRequestError, prompt=[1] * CONTEXT))
    assert f"takes {CONTEXT} tokens" in long.message
    await inside(lambda: fails(openai.BadRequestError, new=0))
    await inside(lambda: fails(openai.BadRequestError, new=-1))
    missing = await inside(lambda: fails(openai.NotFoundError, model="none"))
    assert missing.code == "model_not_found"


async def test_who_is_too_many_is_told_when_to_come_again(served):
    client = served.openai()

    def begin(number):
        return client.completions.create(
            model="slow", prompt=[number], max_tokens=90, temperature=0, stream=True
        )

    def refused():
        with pytest.raises(openai.RateLimitError) as raised:
            completed(client, model="slow")
        return raised.value

    running = [await inside(begin, number) for number in range(4)]
    waiting = [asyncio.create_task(inside(begin, number)) for number in (5, 6)]
    await until(lambda: served.figure("num_requests_waiting", "slow") == 2, what="two to wait")
    refusal = await inside(refused)
    assert refusal.response.headers["retry-after"] == "1"
    assert refusal.type == "rate_limit_error"
    for stream in running:
        await inside(stream.close)
    for stream in await asyncio.gather(*waiting):
        await inside(stream.close)
    await until(lambda: served.is_idle("slow"), what="slots to be free")
    text = await inside(lambda: completed(client, model="slow"))
    assert text == readable(plainly(b"Hello", 12))
    client.close()


async def test_who_hangs_up_frees_slot_and_blocks(served):
    def leave():
        with served.openai() as client:
            stream = client.completions.create(
                model="slow", prompt="Hello", max_tokens=80, temperature=0, stream=True
            )
            first = next(iter(stream)).choices[0].text
            stream.close()
            return first

    left = "request_success_total engine=1 finished_reason=abort model_name=slow"
    before = served.cluster.metrics_of("worker").get(f"vllm:{left}", 0)
    tokens = served.figure("generation_tokens_total", "slow")
    await inside(leave)
    await until(lambda: served.is_idle("slow"), what="the slot to be free")
    assert served.figure("kv_cache_usage_perc", "slow") == 0
    assert served.figure("generation_tokens_total", "slow") < tokens + 40
    assert served.cluster.metrics_of("worker")[f"vllm:{left}"] == before + 1


async def test_clients_of_tgi_generate_and_stream(served):
    def asked():
        url = f"http://{served.rest}"
        tgi, hub = Client(url, timeout=20), InferenceClient(url)
        whole = tgi.generate("Hello", max_new_tokens=12)
        pieces = list(tgi.generate_stream("Hello", max_new_tokens=12))
        texts = [hub.text_generation("Hello", max_new_tokens=12)]
        texts.append("".join(hub.text_generation("Hello", max_new_tokens=12, stream=True)))
        chat = hub.chat_completion(
            [{"role": "user", "content": "Hi"}], max_tokens=8, temperature=0.0
        )
        return whole, pieces, texts, chat.choices[0].message.content

    whole, pieces, texts, said = await inside(asked)
    expected = plainly(b"Hello", 12)
    assert whole.generated_text == pieces[-1].generated_text == readable(expected)
    assert [each.id for each in whole.details.tokens] == expected
    assert [each.token.id for each in pieces] == expected
    assert all(each.logprob < 0 for each in whole.details.tokens)
    assert texts[0] == readable(expected)
    assert said == readable(plainly(b"user: Hi\n", 8))
    with pytest.raises(ValidationError):
        await inside(lambda: Client(f"http://{served.rest}", timeout=20).generate("a" * CONTEXT))


async def test_pages_of_tokens_and_health(served):
    rest = served.rest
    tokens = await ask(rest, "POST", "/tokenize", {"model": "tiny", "prompt": "Hé"})
    ids = list("Hé".encode())
    assert tokens.json == {
        "count": 3, "max_model_len": CONTEXT, "tokens": ids, "token_strs": None,
    }  # fmt: skip
    text = await ask(rest, "POST", "/detokenize", {"model": "tiny", "tokens": ids})
    assert text.json == {"prompt": "Hé"}
    health = await ask(rest, "GET", "/health")
    assert (health.status, health.body) == (200, b"")


async def test_the_examples_of_the_document_run(served, capfd):
    page = "docs/generation.md"
    python = [each for each in blocks(page, "python") if "register" not in each]
    (curls,) = (each for each in blocks(page, "") if each.startswith("curl"))

    def here(example):
        return example.replace("127.0.0.1:1500", served.rest).replace(
            "127.0.0.1:5500", served.cluster.front
        )

    def run():
        names = {}
        printed = []
        for example in python:
            exec(here(example), names)
            printed.append(capfd.readouterr().out)
        return printed

    streamed, structured, called, hub, grpc = await inside(run)
    text = readable(plainly(b"The module", 32))
    assert hub == grpc == text
    assert streamed
    assert set(json.loads(structured)) == {"kind", "sure"}
    assert set(json.loads(called)) == {"city"}
    said = [
        await inside(lambda line=line: subprocess.check_output(here(line), shell=True, text=True))
        for line in curls.splitlines()
    ]
    assert said[0].endswith("data: [DONE]\n\n")
    eight = readable(plainly(b"The module", 8))
    assert [json.loads(each)["generated_text"] for each in said[1:3]] == [eight, eight]
    assert json.loads(said[3])["tokens"] == list(b"The module")


async def test_streams_go_on_when_device_processes_are_killed_in_their_middle(served):
    killed = threading.Event()

    def streamed(number):
        texts = []
        chunks = client.completions.create(
            model="steady", prompt=[number], max_tokens=40, temperature=0, stream=True
        )
        for chunk in chunks:
            texts.append(chunk.choices[0].text)
            killed.wait(60)
        return "".join(texts)

    with served.openai() as client, ThreadPoolExecutor(16) as threads:
        streams = [threads.submit(streamed, number) for number in range(16)]
        busy = ("num_requests_running", "num_requests_waiting")

        def all_are_there():
            return sum(served.figure(name, "steady") for name in busy) == 16

        try:
            await until(all_are_there, what="sixteen texts")
            for child in children_of(served.cluster.processes["agent"].pid):
                os.kill(child, signal.SIGKILL)
        finally:
            killed.set()
        told = await asyncio.gather(*map(asyncio.wrap_future, streams))
    assert told == [readable(plainly([number], 40)) for number in range(16)]
    # A client that tries again gets its text as soon as the agent is back.
    with served.openai(max_retries=9) as client:
        text = await inside(lambda: completed(client))
    assert text == readable(plainly(b"Hello", 12))
