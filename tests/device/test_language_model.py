"""A real language model in a real device process: its greedy text is that of a plain loop."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import pytest_asyncio

from protos.serving.v1 import execution_pb2
from protos.serving.v1 import generation_pb2 as pb
from services.agent.device.work import Work
from shared.membership import ModelFiles
from shared.servable import LanguageGraphs
from tests.support.devices import WHAT, held, in_its_own_task

if importlib.util.find_spec("examples.llm") is None:
    pytest.skip("the example's model is not here", allow_module_level=True)

from tokenizers import Tokenizer

from examples.llm.numpy_net import NumpyNet
from examples.llm.plain_loop import recomputed
from examples.llm.train_tokenizer import TOKENIZER

pytestmark = [
    pytest.mark.mindspore,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),  # six graphs are exported
]

PREFILL, DECODE = ["1x16x96", "4x16x96"], ["4x1x32", "4x1x96"]
KEY = "llm"
BLOCK = 8
PROMPTS = [list(range(200, 214)), [300], list(range(400, 440)), [7, 8, 9]]
ADDED = 20


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device(tmp_path_factory):
    folder = tmp_path_factory.mktemp("llm")
    command = ["-m", "examples.llm.export", "--output", str(folder), "--buckets"]
    subprocess.run([sys.executable, *command, *PREFILL, *DECODE], check=True)
    names = [*(f"prefill_{each}" for each in PREFILL), *(f"decode_{each}" for each in DECODE)]
    paths = tuple(str(folder / f"{name}.mindir") for name in (*names, "argmax", "topk"))
    graphs = LanguageGraphs(
        len(PREFILL), len(DECODE), argmax=True, topk=True, block_size=BLOCK, blocks=8,
        tokenizer=str(TOKENIZER),
    )  # fmt: skip
    files = ModelFiles(KEY, "mindir", paths, True, (), 0, language=graphs)
    async with in_its_own_task(held(files)) as device:
        yield Conversation(device)


class Conversation:
    """Steps in their order."""

    def __init__(self, device):
        self.device = device
        self.id = 0
        self.texts = {}
        self.outcome = None

    async def send(self, **parts):
        self.id += 1
        head = execution_pb2.ExecuteHead(
            servable=WHAT.servable, version=WHAT.version, model=KEY, rows=1
        ).SerializeToString()
        step = pb.Step(id=self.id, **parts).SerializeToString()
        done = await self.device._holder.execute(Work(WHAT, KEY, 1, head, step))
        self.outcome = outcome = pb.StepOutcome.FromString(done.reply)
        for chosen in outcome.chosen:
            assert not chosen.failure, chosen.failure
            self.texts[chosen.slot] += chosen.tokens
        return outcome

    async def begin(self, prompts, blocks=None, **sampling):
        """Start all prompts in slots of their own, and compute them in chunks, four at once."""
        self.texts = {slot: [] for slot in range(len(prompts))}
        starts = [
            pb.Start(
                slot=slot,
                tokens=prompt,
                prompt_tokens=len(prompt),
                blocks=(blocks or {}).get(slot, []),
                sampling=pb.Sampling(**sampling),
            )
            for slot, prompt in enumerate(prompts)
        ]
        await self.send(forget=not blocks, freed=range(4) if blocks else [], starts=starts)
        computed = {slot: BLOCK * len((blocks or {}).get(slot, [])) for slot in range(len(prompts))}
        while computed:
            rows = []
            for slot, position in list(computed.items()):
                count = min(16, len(prompts[slot]) - position)
                computed[slot] += count
                last = computed[slot] == len(prompts[slot])
                rows.append(pb.Row(slot=slot, position=position, count=count, samples=last))
                if last:
                    del computed[slot]
            graph = 0 if len(rows) == 1 else 1
            await self.send(prefills=[pb.Forward(graph=graph, rows=rows)])

    async def decode(self, prompts, number):
        for _ in range(number):
            positions = {
                slot: len(prompt) + len(self.texts[slot]) - 1 for slot, prompt in enumerate(prompts)
            }
            graph = len(PREFILL) + (max(positions.values()) > 32)
            rows = [pb.Row(slot=s, position=p, count=1, samples=True) for s, p in positions.items()]
            await self.send(decode=pb.Forward(graph=graph, rows=rows))


@pytest.fixture(scope="module")
def expected():
    net = NumpyNet()
    return [recomputed(net.logits, prompt, ADDED) for prompt in PROMPTS]


async def test_a_batch_of_texts_is_that_of_a_plain_loop(device, expected):
    await device.begin(PROMPTS)
    await device.decode(PROMPTS, ADDED - 1)
    assert list(device.texts.values()) == expected


async def test_texts_that_grow_out_of_a_short_cache(device, expected):
    short = [PROMPTS[0], PROMPTS[1], PROMPTS[3]]
    await device.begin(short)
    await device.decode(short, ADDED - 1)
    assert list(device.texts.values()) == [expected[0], expected[1], expected[3]]


async def test_prompts_that_begin_with_stored_blocks(device, expected):
    await device.begin(PROMPTS)
    stores = [pb.StoreBlock(slot=2, index=n, block=n + 3) for n in range(5)]
    stores.append(pb.StoreBlock(slot=0, index=0, block=1))
    await device.send(stores=stores)
    await device.begin(PROMPTS, blocks={2: [3, 4, 5, 6], 0: [1]})
    await device.decode(PROMPTS, ADDED - 1)
    assert list(device.texts.values()) == expected


async def test_speculated_tokens_are_verified(device, expected):
    await device.begin(PROMPTS[:1])
    text, position = expected[0], len(PROMPTS[0])
    right = pb.Row(slot=0, position=position, count=1, speculated=text[1:6], samples=True)
    await device.send(prefills=[pb.Forward(graph=0, rows=[right])])
    wrong = [*text[7:9], (text[9] + 1) % 2048, text[10]]
    row = pb.Row(slot=0, position=position + 6, count=1, speculated=wrong, samples=True)
    await device.send(prefills=[pb.Forward(graph=1, rows=[row])])
    assert device.texts[0] == text[:10]


async def test_a_seed_draws_the_same_text_alone_and_in_a_batch(device):
    sampling = {"temperature": 1.0, "top_p": 0.95, "seed": 3}
    await device.begin(PROMPTS, **sampling)
    await device.decode(PROMPTS, 8)
    together = device.texts
    await device.begin(PROMPTS[:1], **sampling)
    await device.decode(PROMPTS[:1], 8)
    assert device.texts[0] == together[0]
    assert len({tuple(text) for text in together.values()}) == 4


async def test_a_choice_is_kept_to(device):
    choices = pb.Grammar(choices=pb.Choices(texts=["the list", "the dictionary"]))
    await device.begin(PROMPTS[:1], grammar=choices)
    while True:
        position = len(PROMPTS[0]) + len(device.texts[0]) - 1
        row = pb.Row(slot=0, position=position, count=1, samples=True)
        outcome = await device.send(decode=pb.Forward(graph=2, rows=[row]))
        if outcome.chosen[0].complete:
            break
    text = Tokenizer.from_file(str(TOKENIZER)).decode(device.texts[0])
    assert text in ("the list", "the dictionary")


async def test_log_probabilities_are_the_networks(device):
    prompt = PROMPTS[3]
    logits = NumpyNet().logits(np.array([prompt]), np.arange(3)[None])[0].astype(np.float64)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    await device.begin([prompt], logprobs=3, prompt_logprobs=0)
    (chosen,) = device.outcome.chosen
    of_prompt = [each.logprob for each in chosen.prompt_logprobs]
    np.testing.assert_allclose(of_prompt, [expected[0, 8], expected[1, 9]], atol=1e-3)
    (told,) = chosen.logprobs
    assert list(told.ids) == np.argsort(-expected[2])[:3].tolist()
    np.testing.assert_allclose(told.logprobs, np.sort(expected[2])[::-1][:3], atol=1e-3)
    assert (told.rank, told.logprob) == (1, told.logprobs[0])
