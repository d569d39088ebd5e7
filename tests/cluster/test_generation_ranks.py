"""Texts of a toy language model that is cut into ranks are those of a plain loop."""

import asyncio
import json
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from protos.serving.v1 import text_generation_pb2 as pb
from shared.ports import free_port
from shared.text_generation import Grammar
from shared.wire import text_codec as codec
from shared.wire.text_replies_codec import read_reply
from tests.support.cluster import Cluster, until
from tests.support.texts import (
    SLOTS,
    add_language_model,
    asked,
    choices_of,
    plainly,
    rest_of,
    texts_at,
)

pytestmark = pytest.mark.timeout(240)

PROMPTS = [list(range(10 * n, 10 * n + length)) for n, length in enumerate((1, 3, 20, 33, 5, 40))]
LONG_SECONDS = 180.0
FIGURE = "mindserve_worker_generation_{} servable=tiny version=1"


class Gang:
    """A worker that clients call, and the agents of two ranks."""

    def __init__(self, cluster, files, direct):
        self.cluster = cluster
        self.files = files
        self.direct = direct

    def start_worker(self, *arguments):
        self.worker = self.cluster.start_worker(
            "worker",
            *("--clients-address", self.direct, "--gang-call-seconds", "60", *arguments),
        )  # fmt: skip

    def start_rank(self, rank, files=None, name=""):
        self.cluster.start_agent(
            name or f"rank{rank}", self.worker,
            *("--rank", str(rank), "--model-files", json.dumps(files or self.files)),
        )  # fmt: skip

    def figure(self, name):
        return self.cluster.metrics_of("worker").get(FIGURE.format(name), 0.0)

    def device_process(self, rank):
        (child,) = psutil.Process(self.cluster.processes[f"rank{rank}"].pid).children()
        return child

    @property
    def log(self):
        return (self.cluster.folder / "worker.log").read_text()


@asynccontextmanager
async def gang_of_two(folder, *arguments, **declared):
    """Ranks that compare what they compute: one that is told wrongly ends its gang."""
    async with Cluster(folder) as cluster:
        files = add_language_model(cluster.servables, rank_size=2, **declared)
        gang = Gang(cluster, files, f"127.0.0.1:{free_port()}")
        gang.start_worker("--compare-ranks", *arguments)
        for rank in range(2):
            gang.start_rank(rank)
        await cluster.ready("tiny", gang.direct)
        async with texts_at(gang.direct) as texts:
            yield gang, texts


async def test_texts_of_ranks_are_those_of_a_plain_loop(tmp_path):
    new = 20
    async with gang_of_two(
        tmp_path, blocks=40, block_size=4, chunk_tokens=12, speculated_tokens=4
    ) as (gang, texts):
        made = await asyncio.gather(*(texts.only(asked(each, new=new)) for each in PROMPTS))
        assert [each.ids for each in made] == [plainly(each, new) for each in PROMPTS]
        # Of two tokens, so that much was there before and is guessed.
        few = {"allowed_ids": (65, 66)}
        guessed = await texts.only(asked([1], new=40, sampling=few))
        assert set(guessed.ids) <= {65, 66}
        assert gang.figure("accepted_tokens_total") > 0
        # Beginnings that are known are loaded by every rank.
        # The store is small, so what is to be known comes right before.
        await texts.only(asked(PROMPTS[5], new=1))
        again = await texts.replies(asked([*PROMPTS[5], 7], new=new))
        assert choices_of(again)[0].ids == plainly([*PROMPTS[5], 7], new)
        assert again[-1].usage.cached_tokens == 40
        tuned = await texts.only(asked([1, 2, 3], model="tiny-tuned", new=8))
        assert tuned.ids == plainly([1, 2, 3], 8, adapter=2)
        listed = await texts.channel.unary_unary(codec.LIST_MODELS_PATH)(b"")
        models = {each.name: each for each in pb.ListModelsReply.FromString(listed).models}
        assert models["tiny"].device_type == "CPU"
        assert "gang ended" not in gang.log


async def test_whatever_one_rank_alone_can_know_the_others_follow(tmp_path):
    """Sampling, log-probabilities, grammars, and texts that cannot be continued."""
    async with gang_of_two(tmp_path) as (gang, texts):
        drawn = {"temperature": 1.0, "seed": 11, "logprobs": 2, "prompt_logprobs": 1}
        grammar = {"grammar": Grammar("regex", "[ab]{3}c")}
        broken = {"grammar": Grammar("regex", "(")}
        several = await asyncio.gather(
            texts.only(asked([5, 6], new=16, sampling=drawn, details=True)),
            texts.only(asked([5, 6], new=16, sampling=drawn, details=True)),
            texts.only(asked("x", new=20, sampling=grammar)),
            texts.replies(asked([1], new=20, sampling=broken)),
            texts.only(asked([9, 9], new=16)),
            return_exceptions=True,
        )
        one, other, kept, failed, plain = several
        assert one.ids == other.ids
        assert all(len(token.alternatives) == 2 for token in one.tokens)
        assert kept.text[3:] == "c"
        assert set(kept.text[:3]) <= {"a", "b"}
        assert failed.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert plain.ids == plainly([9, 9], 16)
        # Who leaves in the middle frees the slot at all ranks.
        call = texts.stream(asked([1, 2, 3], new=80))
        assert read_reply(await call.read()).pieces
        call.cancel()
        after = await asyncio.gather(*(texts.only(asked([n], new=12)) for n in range(6)))
        assert [each.ids for each in after] == [plainly([n], 12) for n in range(6)]
        assert "gang ended" not in gang.log


@pytest.mark.parametrize(
    ("who", "rank"),
    [("device process", 1), ("device process", 0), ("agent", 1), ("agent that is told to stop", 1)],
)
async def test_streams_resume_when_a_rank_is_lost(tmp_path, who, rank):
    new = 60
    prompts = [[n, n + 1, n + 2] for n in range(4)]
    async with gang_of_two(tmp_path, latency_seconds=0.02) as (gang, texts):
        if who != "device process":
            # It waits for a place.
            gang.start_rank(rank, name="another")
            await until(lambda: gang.log.count("rank joined") == 3, what="a third agent")
        calls = [texts.stream(asked(prompt, new=new), LONG_SECONDS) for prompt in prompts]
        first = [await call.read() for call in calls]
        process = gang.cluster.processes[f"rank{rank}"]
        if who == "device process":
            gang.device_process(rank).kill()
        else:
            gang.cluster.processes.pop(f"rank{rank}")
            process.send_signal(signal.SIGKILL if who == "agent" else signal.SIGTERM)
            ended = await asyncio.to_thread(process.wait, 30)
            assert ended == (-signal.SIGKILL if who == "agent" else 0)
        rest = await asyncio.gather(*(rest_of(call) for call in calls))
        for prompt, begun, call in zip(prompts, first, rest, strict=True):
            made = choices_of(map(read_reply, [begun, *call]))[0]
            assert (made.reason, made.error) == ("length", "")
            assert made.ids == plainly(prompt, new)
        assert (await texts.only(asked([9, 9], new=5))).ids == plainly([9, 9], 5)
        assert "gang ended" in gang.log
        assert f"rank {rank}:" in gang.log


async def test_texts_go_on_with_another_gang(tmp_path):
    prompts = [[n, n + 1, n + 2] for n in range(8)]
    async with gang_of_two(tmp_path, latency_seconds=0.02) as (gang, texts):
        for rank in range(2):
            gang.start_rank(rank, name=f"replica{rank}")
        await until(lambda: gang.cluster.agents_holding("tiny") == 2, what="two gangs")
        calls = [texts.stream(asked(prompt, new=50)) for prompt in prompts]
        first = [await call.read() for call in calls]
        assert gang.figure("running") > SLOTS, "both gangs are at work"
        gang.device_process(1).kill()
        rest = await asyncio.gather(*(rest_of(call) for call in calls))
        for prompt, begun, call in zip(prompts, first, rest, strict=True):
            made = choices_of(map(read_reply, [begun, *call]))[0]
            assert made.ids == plainly(prompt, 50)


async def test_a_rank_that_fails_is_named_and_the_texts_of_others_go_on(tmp_path):
    poison, vocabulary, new = 4999, 5000, 20
    async with Cluster(tmp_path) as cluster:
        files = add_language_model(cluster.servables, rank_size=2, vocabulary=vocabulary)
        gang = Gang(cluster, files, f"127.0.0.1:{free_port()}")
        gang.start_worker()
        gang.start_rank(0)
        gang.start_rank(1, [with_fault(file, poison, tmp_path) for file in files])
        await cluster.ready("tiny", gang.direct)
        async with texts_at(gang.direct) as texts:
            made, failed = await asyncio.gather(
                texts.only(asked([1, 2], new=new)),
                texts.replies(asked([poison], new=new)),
                return_exceptions=True,
            )
        assert made.ids == plainly([1, 2], new, vocabulary=vocabulary)
        assert failed.code() is grpc.StatusCode.INTERNAL
        assert "rank 1" in failed.details()
        assert "a fault on demand" in failed.details()


def with_fault(file, token, folder):
    """The same graph, which fails when it sees that token."""
    described = json.loads(Path(file).read_text()) | {"faults": {str(token): "raise"}}
    faulty = folder / Path(file).name
    faulty.write_text(json.dumps(described))
    return str(faulty)
