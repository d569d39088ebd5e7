"""What llm-serving got wrong, on real services; the table is in ``tests/compat``."""

import asyncio
import gc

import orjson
import pytest
import pytest_asyncio

from services.worker.generation.completions import Completions
from services.worker.generation.continuations import Continuation
from services.worker.generation.sequences import Sequence
from shared.ports import free_port
from tests.contract.test_text_door import events_of, stream
from tests.support.cluster import Cluster, until
from tests.support.devices import in_its_own_task
from tests.support.http1 import ask
from tests.support.texts import (
    SLOTS,
    VOCABULARY,
    add_language_model,
    asked,
    plainly,
    texts_at,
    texts_of_worker_here,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


class Served:
    """A stack with two language models: one of several slots, one of a single one."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.rest, self.direct = (f"127.0.0.1:{free_port()}" for _ in range(2))

    def start_worker(self, address=""):
        direct = ("--clients-address", self.direct)
        self.worker = self.cluster.start_worker("worker", *direct, address=address)

    def lines(self):
        """How many lines services have logged."""
        return sum(len(path.read_text().splitlines()) for path in self.cluster.folder.glob("*.log"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory):
    async with in_its_own_task(Cluster(tmp_path_factory.mktemp("defects"))) as cluster:
        add_language_model(cluster.servables)
        add_language_model(cluster.servables, "single", slots=1, max_waiting=8)
        served = Served(cluster)
        cluster.start_master("--rest-address", served.rest, "--text-model", "tiny")
        served.start_worker()
        cluster.start_agent("agent", served.worker)
        for name in ("tiny", "single"):
            await cluster.ready(name)
        yield served


@pytest_asyncio.fixture(loop_scope="module")
async def texts(served):
    async with texts_at(served.direct) as texts:
        yield texts


@pytest.mark.parametrize("prompt", [[0, 0, 0], [256, 1, 256], [299, 0, 65], [*range(60)]])
async def test_any_token_may_be_in_a_prompt(texts, prompt):
    assert max(prompt) < VOCABULARY
    assert (await texts.only(asked(prompt, new=6))).ids == plainly(prompt, 6)


PATHS = [
    ("/v1/completions", {"prompt": "a"}, 400),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}, 400),
    ("/generate", {"inputs": "a"}, 422),
    ("/models/tiny/generate", {"inputs": "a"}, 400),
    ("/models/tiny/generate_stream", {"inputs": "a"}, 400),
]


@pytest.mark.parametrize("new", [0, -1])
@pytest.mark.parametrize(("path", "body", "status"), PATHS)
async def test_no_new_tokens_are_refused_in_every_dialect(served, path, body, status, new):
    said = (
        {"max_tokens": new} if path.startswith("/v1") else {"parameters": {"max_new_tokens": new}}
    )
    answer = await ask(served.rest, "POST", path, body | said)
    assert answer.status == status
    assert "max_" in answer.body.decode()


async def test_three_tokens_are_three_pieces_that_make_the_text(served):
    for prompt in ("Hello", "You", "?"):
        body = {"inputs": prompt, "parameters": {"max_new_tokens": 3}}
        _, content = await stream(served.rest, "/models/tiny/generate_stream", body)
        told = [orjson.loads(each)["data"][0] for each in events_of(content)]
        expected = plainly(prompt.encode(), 3)
        assert [each["tokens"]["id"] for each in told] == expected
        text = bytes(each for each in expected if each < 256).decode(errors="replace")
        assert "".join(each["generated_text"] for each in told) == text


async def test_no_line_is_logged_for_a_token(served, texts):
    await texts.only(asked([1], new=2))
    before = served.lines()
    assert len((await texts.only(asked([1, 2], new=60))).ids) == 60
    assert served.lines() == before


async def test_a_model_of_one_slot_answers_everybody(texts):
    made = await asyncio.gather(*(texts.only(asked([n], model="single", new=8)) for n in range(8)))
    assert [each.ids for each in made] == [plainly([n], 8) for n in range(8)]


async def test_every_one_of_many_callers_gets_an_answer(served):
    bodies = [
        {"model": model, "prompt": [n], "max_tokens": 4, "temperature": 0, "return_token_ids": True}
        for n in range(60)
        for model in ("tiny", "single")
    ]
    answers = await asyncio.gather(
        *(ask(served.rest, "POST", "/v1/completions", body) for body in bodies)
    )
    # One slot and eight places to wait are too few for sixty at once, and say so.
    assert {each.status for each in answers} == {200, 429}
    for body, answer in zip(bodies, answers, strict=True):
        if answer.status == 200:
            assert answer.json["choices"][0]["token_ids"] == plainly(body["prompt"], 4)
        else:
            assert body["model"] == "single"
            assert answer.headers["retry-after"] == "1"


async def test_nothing_is_kept_of_texts_that_ended(tmp_path):
    async with texts_of_worker_here(tmp_path) as texts:
        for ended in (50, 100):
            await asyncio.gather(*(texts.only(asked([n], new=3)) for n in range(ended)))
            left = texts.stream(asked([1], new=90))
            await left.read()
            left.cancel()

            def kept():
                gc.collect()
                kinds = (Sequence, Continuation, Completions)
                return sum(isinstance(each, kinds) for each in gc.get_objects())

            # Slots know their last texts.
            await until(lambda: kept() <= 3 * SLOTS, what="texts to be forgotten")


async def test_the_agent_of_a_worker_that_was_killed_serves_the_next_one(served):
    process = served.cluster.processes["worker"]
    process.kill()
    await asyncio.to_thread(process.wait)
    served.start_worker(served.worker)
    body = {"prompt": "Hello", "max_tokens": 6, "temperature": 0, "return_token_ids": True}

    async def answered():
        answer = await ask(served.rest, "POST", "/v1/completions", {"model": "tiny"} | body)
        return answer.status == 200 and answer.json["choices"][0]["token_ids"]

    await until(answered, what="the next worker to have the agent")
    assert await answered() == plainly(b"Hello", 6)
