"""The example's language model, on MindSpore and real services: the text of a plain loop."""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import pytest_asyncio

from shared.ports import free_port
from tests.support.cluster import Cluster, children_of, until
from tests.support.devices import in_its_own_task
from tests.support.texts import asked, texts_at

if importlib.util.find_spec("examples.llm") is None:
    pytest.skip("the example's model is not here", allow_module_level=True)

from tokenizers import Tokenizer

from examples.llm.numpy_net import NumpyNet
from examples.llm.plain_loop import recomputed
from examples.llm.sizes import LORA, WEIGHTS
from examples.llm.train_tokenizer import TOKENIZER

pytestmark = [pytest.mark.mindspore, pytest.mark.timeout(600)]

# Longer than the first graphs for decoding take; its cache is so large that agents get it in
# shared memory.
LONG = "Return a copy of the string with all occurrences of substring old replaced by new. " * 2
PROMPTS = ["The module provides", "Return a new string", "Raises ValueError if", LONG]
MORE = [*PROMPTS, "Return", LONG[:100], "The ", 'The "for" statement is used to iterate over']
NEW = 24
LENGTH = 96
SHORT, BATCH = "prefill_1x8x96.mindir", "prefill_4x16x96.mindir"
DECODE = ("decode_1x1x32.mindir", "decode_4x1x32.mindir", "decode_4x1x96.mindir")
BUCKETS = [each.split("_")[1].removesuffix(".mindir") for each in (SHORT, BATCH, *DECODE)]
CHOOSERS = {"argmax_model": "argmax.mindir", "topk_model": "topk.mindir"}
SMALL = {"blocks": 30, "block_size": 4}
ADAPTERS = {"zen": 1, "rot13": 2}
# By the names of their servables, with what the engine must have done besides.
RULES = {
    # The one graph for prompts takes eight tokens.
    "chunked": ({"prefill_model": [SHORT], "token_budget": 12, "prefix_cache": False}, []),
    "preempted": (SMALL | {"prefix_cache": False}, ["preemptions"]),
    "remembered": ({"block_size": 4}, ["prefix_hits"]),
    "guessing": ({"speculated_tokens": 4}, ["proposed_tokens", "accepted_tokens"]),
    "adapted": ({"adapters": ADAPTERS}, []),
    "all": (
        SMALL | {"prefill_model": [SHORT], "token_budget": 12, "speculated_tokens": 4},
        ["preemptions", "prefix_hits", "accepted_tokens"],
    ),
}


def figure(cluster: Cluster, name: str, servable: str = "tiny") -> float:
    """What the worker counts of the model."""
    name = f"mindserve_worker_{name} servable={servable} version=1"
    return cluster.metrics_of("worker").get(name, 0)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory):
    """The example's graphs, exported once, and what lies beside them."""
    folder = tmp_path_factory.mktemp("graphs")
    command = ["-m", "examples.llm.export", "--output", str(folder), "--adapters", "--buckets"]
    subprocess.run([sys.executable, *command, *BUCKETS], check=True)
    return folder


def add_example(directory: Path, graphs: Path, name: str = "tiny", **rules: object) -> None:
    folder = directory / name
    shutil.copytree(graphs, folder / "1")
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(Path(TOKENIZER).with_name(file), folder)
    said = {"prefill_model": [SHORT, BATCH], "decode_model": DECODE, "max_model_len": LENGTH}
    arguments = ", ".join(f"{key}={value!r}" for key, value in (said | rules).items())
    (folder / "servable_config.py").write_text(
        "from mindspore_serving.server import register\n\n"
        f"register.declare_language_model({arguments}, slots=4)\n"
    )


@cache
def plainly(prompt: str, adapter: int) -> list[int]:
    """For each token the whole text is computed, by the same network in NumPy."""
    tokens = Tokenizer.from_file(str(TOKENIZER)).encode(prompt).ids
    return recomputed(NumpyNet(WEIGHTS, LORA).logits, tokens, NEW, adapter, LENGTH)


def check(prompts, made, models=None) -> None:
    """These choices, in order, are what a plain loop makes of the prompts."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    models = models or [""] * len(prompts)
    for prompt, choice, model in zip(prompts, made, models, strict=True):
        expected = plainly(prompt, ADAPTERS.get(model, 0))
        assert choice.ids == expected[: len(choice.ids)], (prompt, model)
        if choice.reason == "stop":
            assert choice.ids[-1] in (0, 2)
            assert choice.text == tokenizer.decode(choice.ids[:-1])
        else:
            assert len(choice.ids) == NEW, choice.error
            assert choice.text == tokenizer.decode(choice.ids)


@pytest.mark.parametrize("roles", [("both",), ("prefill", "decode")], ids=len)
async def test_texts_of_a_real_model_are_those_of_a_plain_loop(tmp_path, graphs, roles):
    direct = f"127.0.0.1:{free_port()}"
    async with Cluster(tmp_path) as cluster:
        await asyncio.to_thread(add_example, cluster.servables, graphs, **CHOOSERS)
        worker = cluster.start_worker("worker", "--clients-address", direct)
        for role in roles:
            cluster.start_agent(role, worker, "--generation-role", role)
        # Five graphs are compiled.
        await cluster.ready("tiny", direct, seconds=300)
        await until(lambda: cluster.agents_holding("tiny") == len(roles), what="all agents")
        async with texts_at(direct) as texts:
            alone = await texts.only(asked(PROMPTS[0], new=NEW))
            made = await asyncio.gather(*(texts.only(asked(each, new=NEW)) for each in PROMPTS))
        if len(roles) > 1:
            assert figure(cluster, "generation_hand_overs_total") == len(PROMPTS) + 1
            for role in roles:
                (device,) = children_of(cluster.processes[role].pid)
                maps = await asyncio.to_thread(Path(f"/proc/{device}/maps").read_text)
                assert "/memfd:mindserve (deleted)" in maps, f"{role} mapped no cache"
    assert 32 < len(Tokenizer.from_file(str(TOKENIZER)).encode(LONG).ids) < LENGTH - NEW
    check([PROMPTS[0], *PROMPTS], [alone, *made])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def serving(tmp_path_factory, graphs):
    """A worker with a servable for each of these rules; where clients call it, and its cluster."""
    direct = f"127.0.0.1:{free_port()}"
    async with in_its_own_task(Cluster(tmp_path_factory.mktemp("rules"))) as cluster:
        for name, (rules, _) in RULES.items():
            few = {"prefill_model": [BATCH], "decode_model": DECODE[-1:]}
            await asyncio.to_thread(add_example, cluster.servables, graphs, name, **few | rules)
        cluster.start_agent("agent", cluster.start_worker("worker", "--clients-address", direct))
        for name in RULES:
            await cluster.ready(name, direct, seconds=300)
        yield direct, cluster


@pytest.mark.parametrize("name", RULES)
@pytest.mark.asyncio(loop_scope="module")
async def test_whatever_the_engine_does_besides_the_texts_are_the_same(serving, name):
    direct, cluster = serving
    names = [name, *RULES[name][0].get("adapters", ())]
    models = [names[place % len(names)] for place in range(len(MORE))]
    async with texts_at(direct) as texts:
        for _ in range(2):  # the second time prompts are known
            made = await asyncio.gather(
                *(
                    texts.only(asked(each, model=model, new=NEW))
                    for each, model in zip(MORE, models, strict=True)
                )
            )
            await asyncio.to_thread(check, MORE, made, models)
    for each in RULES[name][1]:
        assert figure(cluster, f"generation_{each}_total", name) > 0, each
