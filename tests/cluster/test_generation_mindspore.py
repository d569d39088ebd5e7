"""The example's language model, on MindSpore and real services: the text of a plain loop."""

import asyncio
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from shared.ports import free_port
from tests.support.cluster import Cluster, children_of, until
from tests.support.texts import asked, texts_at

if importlib.util.find_spec("examples.llm") is None:
    pytest.skip("the example's model is not here", allow_module_level=True)

from tokenizers import Tokenizer

from examples.llm.numpy_net import NumpyNet
from examples.llm.plain_loop import recomputed
from examples.llm.train_tokenizer import TOKENIZER

pytestmark = [pytest.mark.mindspore, pytest.mark.timeout(600)]

# Longer than the first graphs for decoding take; its cache is so large that agents get it in
# shared memory.
LONG = "Return a copy of the string with all occurrences of substring old replaced by new. " * 2
PROMPTS = ["The module provides", "Return a new string", "Raises ValueError if", LONG]
NEW = 24
BUCKETS = ["1x8x96", "4x16x96", "1x1x32", "4x1x32", "4x1x96"]
CONFIG = """from mindspore_serving.server import register

register.declare_language_model(
    ["prefill_1x8x96.mindir", "prefill_4x16x96.mindir"],
    ["decode_1x1x32.mindir", "decode_4x1x32.mindir", "decode_4x1x96.mindir"],
    "argmax.mindir", "topk.mindir", max_model_len=96, slots=4,
)
"""


def figure(cluster: Cluster, name: str) -> float:
    """What the worker counts of the model."""
    return cluster.metrics_of("worker").get(f"mindserve_worker_{name} servable=tiny version=1", 0)


def add_example(directory: Path) -> None:
    folder = directory / "tiny" / "1"
    folder.mkdir(parents=True)
    command = ["-m", "examples.llm.export", "--output", str(folder), "--buckets"]
    subprocess.run([sys.executable, *command, *BUCKETS], check=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(Path(TOKENIZER).with_name(file), folder.parent)
    (folder.parent / "servable_config.py").write_text(CONFIG)


@pytest.mark.parametrize("roles", [("both",), ("prefill", "decode")], ids=len)
async def test_texts_of_a_real_model_are_those_of_a_plain_loop(tmp_path, roles):
    direct = f"127.0.0.1:{free_port()}"
    async with Cluster(tmp_path) as cluster:
        await asyncio.to_thread(add_example, cluster.servables)
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
    net, tokenizer = NumpyNet(), Tokenizer.from_file(str(TOKENIZER))
    assert 32 < len(tokenizer.encode(LONG).ids) < 96 - NEW
    for prompt, choice in zip([PROMPTS[0], *PROMPTS], [alone, *made], strict=True):
        expected = recomputed(net.logits, tokenizer.encode(prompt).ids, NEW, length=96)
        assert choice.ids == expected[: len(choice.ids)]
        if choice.reason == "stop":
            assert choice.ids[-1] in (0, 2)
            assert choice.text == tokenizer.decode(choice.ids[:-1])
        else:
            assert len(choice.ids) == NEW
            assert choice.text == tokenizer.decode(choice.ids)
