"""Prompts on one agent and texts on another: the same texts, whoever is killed."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from shared.ports import free_port
from shared.text_generation import Grammar
from shared.wire.text_replies_codec import read_reply
from tests.support.cluster import Cluster, children_of, until
from tests.support.devices import in_its_own_task
from tests.support.texts import add_language_model, asked, choices_of, plainly, rest_of, texts_at

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

FIGURE = "mindserve_worker_generation_{} servable={} version=1"
PROMPTS = [
    list(range(10 * n, 10 * n + length))
    for n, length in enumerate((1, 3, 20, 33, 5, 40, 8, 17, 2, 60, 12, 28))
]


class Apart:
    """A worker that clients call, with agents that are for prompts or for texts."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.direct = f"127.0.0.1:{free_port()}"

    def start(self, *roles: str) -> None:
        self.worker = self.cluster.start_worker("worker", "--clients-address", self.direct)
        for role in roles:
            self.start_agent(role, role)

    def start_agent(self, name: str, role: str) -> None:
        self.cluster.start_agent(name, self.worker, "--generation-role", role)

    def figure(self, name: str, servable: str = "tiny") -> float:
        return self.cluster.metrics_of("worker").get(FIGURE.format(name, servable), 0.0)

    async def has_agents(self, count: int, servable: str = "tiny") -> None:
        await until(lambda: self.cluster.agents_holding(servable) == count, what=f"{count} agents")


@asynccontextmanager
async def apart(folder, *roles, **declared):
    async with Cluster(folder) as cluster:
        add_language_model(cluster.servables, **declared)
        serving = Apart(cluster)
        serving.start(*roles)
        await cluster.ready("tiny", serving.direct)
        await serving.has_agents(len(roles))
        async with texts_at(serving.direct) as texts:
            yield serving, texts


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(tmp_path_factory):
    folder = tmp_path_factory.mktemp("apart")
    async with in_its_own_task(Cluster(folder)) as cluster:
        add_language_model(cluster.servables)
        add_language_model(cluster.servables, "narrow", blocks=30)
        add_language_model(cluster.servables, "guessing", speculated_tokens=4)
        serving = Apart(cluster)
        serving.start("prefill", "decode")
        for name in ("tiny", "narrow", "guessing"):
            await cluster.ready(name, serving.direct)
            await serving.has_agents(2, name)
        yield serving


@pytest_asyncio.fixture(loop_scope="module")
async def texts(serving):
    async with texts_at(serving.direct) as texts:
        yield texts


@pytest.mark.parametrize("model", ["tiny", "narrow", "guessing"])
async def test_texts_are_those_of_a_plain_loop(serving, texts, model):
    new = 24
    made = await asyncio.gather(
        *(texts.only(asked(prompt, model=model, new=new)) for prompt in PROMPTS)
    )
    for prompt, choice in zip(PROMPTS, made, strict=True):
        assert choice.ids == plainly(prompt, new)
        assert choice.reason == "length"
    assert serving.figure("hand_overs_total", model) > 0
    assert serving.figure("transferred_tokens_total", model) > 0
    size = serving.figure("transferred_bytes_total", model)
    # Two layers of keys and values, two heads of three numbers each.
    assert size == 96 * serving.figure("transferred_tokens_total", model)
    await until(lambda: not serving.figure("running", model), what="slots to be free on both sides")
    assert serving.figure("cache_use", model) == 0


async def test_what_was_asked_for_goes_with_a_text(texts):
    adapted = await texts.only(asked([1, 2, 3], model="tiny-tuned", new=10))
    assert adapted.ids == plainly([1, 2, 3], 10, adapter=2) != plainly([1, 2, 3], 10)
    regex = Grammar("regex", "[ab]{3}c")
    kept = await texts.only(asked("x", new=20, sampling={"grammar": regex}))
    assert (kept.reason, kept.text[3:]) == ("stop", "c")
    assert set(kept.text[:3]) <= {"a", "b"}
    text = plainly([1, 2, 3], 12)
    stopped = await texts.only(asked([1, 2, 3], new=12, sampling={"stop_ids": (text[6],)}))
    assert stopped.ids == text[: text.index(text[6]) + 1]


async def test_drawn_texts_are_those_of_an_agent_that_does_both(texts, tmp_path):
    sampling = {
        "temperature": 1.2, "seed": 5, "presence_penalty": 0.5, "logprobs": 2, "prompt_logprobs": 1,
    }  # fmt: skip
    requests = [
        asked(prompt, new=16, n=2, sampling=sampling, prompt_details=True) for prompt in PROMPTS[:6]
    ]
    here = await asyncio.gather(*map(texts.replies, requests))
    async with apart(tmp_path, "both") as (other, others):
        there = await asyncio.gather(*map(others.replies, requests))
        assert other.figure("hand_overs_total") == 0
    for one, two in zip(here, there, strict=True):
        assert one[0].prompt == two[0].prompt
        for number, choice in choices_of(one).items():
            same = choices_of(two)[number]
            assert (choice.ids, choice.text, choice.tokens) == (same.ids, same.text, same.tokens)
            assert len(choice.ids) == 16


async def test_who_leaves_frees_both_sides(serving, texts):
    calls = [texts.stream(asked([n, *range(40)], new=50)) for n in range(12)]
    for place, call in enumerate(calls):
        if place % 3:
            await call.read()
        call.cancel()
    await until(
        lambda: not (serving.figure("running") or serving.figure("waiting")),
        what="slots to be free on both sides",
    )
    assert serving.figure("cache_use") == 0
    assert serving.figure("hand_overs_waiting") == 0


@pytest.mark.parametrize("who", ["prefill", "decode"])
@pytest.mark.parametrize("what", ["agent", "device process"])
async def test_streams_go_on_when_either_side_is_killed(tmp_path, who, what):
    new = 40
    prompts = [[n, n + 1, n + 2] for n in range(16)]
    async with apart(tmp_path, "prefill", "decode", latency_seconds=0.02) as (serving, texts):
        calls = [texts.stream(asked(prompt, new=new)) for prompt in prompts]
        first = [await call.read() for call in calls[:4]]
        process = serving.cluster.processes[who]
        if what == "agent":
            process.kill()
            await asyncio.to_thread(process.wait)
            serving.start_agent("another", who)
        else:
            (child,) = children_of(process.pid)
            os.kill(child, signal.SIGKILL)
        rest = await asyncio.gather(*map(rest_of, calls))
        for prompt, call, begun in zip(prompts, rest, [*first, *[None] * 12], strict=True):
            made = choices_of(map(read_reply, [begun, *call] if begun else call))[0]
            assert made.reason == "length", made.error
            assert made.ids == plainly(prompt, new)
        await serving.has_agents(2)
        before = serving.figure("hand_overs_total")
        assert (await texts.only(asked([9, 9], new=5))).ids == plainly([9, 9], 5)
        assert serving.figure("hand_overs_total") == before + 1


async def test_large_caches_lie_in_memory_that_device_processes_map(tmp_path):
    layers, prompt = 20, list(range(80))  # 960 bytes of each token
    async with apart(tmp_path, "prefill", "decode", layers=layers) as (serving, texts):

        def maps(role):
            (device,) = children_of(serving.cluster.processes[role].pid)
            return "/memfd:mindserve (deleted)" in Path(f"/proc/{device}/maps").read_text()

        assert not maps("prefill")
        assert not maps("decode")
        made = await texts.only(asked(prompt, new=12))
        assert made.ids == plainly(prompt, 12, layers=layers)
        assert serving.figure("transferred_bytes_total") == 80 * 960
        assert maps("prefill")
        assert maps("decode")


async def test_an_agent_for_prompts_alone_is_not_enough(tmp_path):
    async with Cluster(tmp_path) as cluster:
        add_language_model(cluster.servables)
        serving = Apart(cluster)
        serving.start("prefill")
        await serving.has_agents(1)
        assert not await cluster.serving("tiny", serving.direct)
        serving.start_agent("decode", "decode")
        await cluster.ready("tiny", serving.direct)
        async with texts_at(serving.direct) as texts:
            assert (await texts.only(asked([1, 2], new=5))).ids == plainly([1, 2], 5)
            # And one that decodes is.
            process = cluster.processes["prefill"]
            process.kill()
            await asyncio.to_thread(process.wait)
            await serving.has_agents(1)
            assert (await texts.only(asked([3, 4], new=5))).ids == plainly([3, 4], 5)
            assert await cluster.serving("tiny", serving.direct)
