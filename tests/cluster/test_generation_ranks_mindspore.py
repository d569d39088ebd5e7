"""The example's language model cut into two ranks, on MindSpore: the text of a plain loop."""

import asyncio
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shared.ports import free_port
from shared.wire.text_replies_codec import read_reply
from tests.support.cluster import Cluster, until
from tests.support.texts import asked, choices_of, rest_of, texts_at

if importlib.util.find_spec("examples.llm") is None:
    pytest.skip("the example's model is not here", allow_module_level=True)

from tokenizers import Tokenizer

from examples.llm.numpy_net import NumpyNet
from examples.llm.plain_loop import recomputed
from examples.llm.train_tokenizer import TOKENIZER

pytestmark = [pytest.mark.mindspore, pytest.mark.timeout(600)]

PROMPTS = ["The module provides", "Return a new string", "Raises ValueError if", "This function"]
NEW = 24
FILES = ["prefill_4x16x96.mindir", "decode_4x1x96.mindir", "argmax.mindir", "topk.mindir"]
CONFIG = f"""from mindspore_serving.server import register

register.declare_language_model(*{FILES}, max_model_len=96, slots=4, rank_size=2,
                                speculated_tokens=4)
"""
# Ranks meet, load and compile, on a machine that is busy with other things.
SERVES_SECONDS = 240.0


def add_ranks(directory: Path) -> list[list[str]]:
    """A servable whose ranks have files of their own; those of each."""
    folder, files = directory / "tiny", directory.parent / "files"
    folder.mkdir()
    command = ["-m", "examples.llm.export_ranks", "--ranks", "2", "--fused-argmax"]
    command += ["--output", str(files), "--buckets", "4x16x96", "4x1x96"]
    subprocess.run([sys.executable, *command], check=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(Path(TOKENIZER).with_name(file), folder)
    (folder / "servable_config.py").write_text(CONFIG)
    return [[str(files / f"rank{rank}" / file) for file in FILES] for rank in range(2)]


async def test_texts_of_ranks_are_those_of_a_plain_loop_and_resume_when_one_is_killed(tmp_path):
    direct = f"127.0.0.1:{free_port()}"
    net, tokenizer = NumpyNet(), Tokenizer.from_file(str(TOKENIZER))
    prompts = [tuple(tokenizer.encode(each).ids) for each in PROMPTS]
    expected = [recomputed(net.logits, prompt, NEW) for prompt in prompts]
    async with Cluster(tmp_path) as cluster:
        ranks = await asyncio.to_thread(add_ranks, cluster.servables)
        worker = cluster.start_worker(
            "worker", "--clients-address", direct, "--gang-call-seconds", "60", "--compare-ranks"
        )
        for rank, files in enumerate(ranks):
            named = ("--rank", str(rank), "--model-files", json.dumps(files))
            cluster.start_agent(f"rank{rank}", worker, *named)
        await until(
            lambda: cluster.agents_holding("tiny") == 1,
            seconds=SERVES_SECONDS,
            what=lambda: f"the gang\n{cluster.logs()}",
        )
        async with texts_at(direct) as texts:
            calls = [asked(list(each), new=NEW) for each in prompts]
            made = await asyncio.gather(*(texts.only(each) for each in calls))
            for choice, ids in zip(made, expected, strict=True):
                assert choice.ids == ids[: len(choice.ids)]
                assert choice.reason == "stop" or len(choice.ids) == NEW
            streams = [
                texts.stream(asked(list(each), new=80, ignore_eos=True), SERVES_SECONDS)
                for each in prompts
            ]
            first = [await each.read() for each in streams]
            (device_process,) = psutil.Process(cluster.processes["rank1"].pid).children()
            device_process.kill()
            rest = await asyncio.gather(*map(rest_of, streams))
            for begun, more, ids in zip(first, rest, expected, strict=True):
                made = choices_of(map(read_reply, [begun, *more]))[0]
                assert made.ids[:NEW] == ids[: len(made.ids)]
                assert (len(made.ids), made.reason) == (80, "length") or "rank 1" in made.error
            await until(
                lambda: cluster.agents_holding("tiny") == 1, seconds=SERVES_SECONDS, what="the gang"
            )
            again = await texts.only(calls[0], SERVES_SECONDS)
            assert again.ids == expected[0][: len(again.ids)] != []
