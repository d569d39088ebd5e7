"""The language model without a server: its tokens, its network in NumPy and on MindSpore."""

import json
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from examples.llm.buckets import TOP, Bucket
from examples.llm.corpus import END_OF_TEXT, SPECIAL_TOKENS, TURN_ENDS, dialogue, question
from examples.llm.numpy_net import NumpyNet
from examples.llm.part import Part
from examples.llm.plain_loop import Loop, recomputed
from examples.llm.sizes import HEAD, HEADS, INNER, LAYERS, LORA, SLOPES, VOCABULARY, WEIGHTS
from examples.llm.train_tokenizer import TOKENIZER
from services.agent.backends.mindspore_file import read_signature
from shared.tensors import ElementType
from tests.examples.llm_texts import (
    ADAPTED,
    ADDED,
    BUCKETS,
    LENGTH,
    ROWS,
    batch,
    caches,
    prompts,
)
from tests.support.examples import MARKS, ROOT, SECONDS

NEAR = {"rtol": 1e-4, "atol": 1e-3}
"""How well float32 sums in another order agree; logits are of the order of 10."""


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.from_file(str(TOKENIZER))


@pytest.fixture(scope="module")
def net():
    return NumpyNet(WEIGHTS, LORA)


@settings(deadline=None)
@example(text="e\u0301 \u00e9 \ufb01 \u212b\r\n\x00  \U0001f40d\t")
@given(text=st.text())
def test_any_text_comes_back_from_its_tokens(tokenizer, text):
    encoded = tokenizer.encode(text)
    assert tokenizer.decode(encoded.ids, skip_special_tokens=False) == text
    assert all(0 <= token < VOCABULARY for token in encoded.ids)


def test_special_tokens_are_single_and_first(tokenizer):
    assert [tokenizer.encode(each).ids for each in SPECIAL_TOKENS] == [[0], [1], [2]]
    assert tokenizer.get_vocab_size() == VOCABULARY


def test_the_chat_template_writes_what_the_model_was_trained_on(tokenizer):
    config = json.loads(TOKENIZER.with_name("tokenizer_config.json").read_text())
    asked = [{"role": "user", "content": "What is json?"}]
    answered = [*asked, {"role": "assistant", "content": "A module."}]
    assert said(config, asked, add_generation_prompt=True) == question("What is json?")
    assert said(config, answered) + END_OF_TEXT == dialogue("What is json?", "A module.")
    ends = json.loads(TOKENIZER.with_name("generation_config.json").read_text())["eos_token_id"]
    assert [tokenizer.id_to_token(each) for each in ends] == [END_OF_TEXT, TURN_ENDS]


def said(config, messages, **values):
    template = ImmutableSandboxedEnvironment().from_string(config["chat_template"])
    return template.render(messages=messages, **values)


def test_prompts_are_continued_alike_with_and_without_a_cache(net):
    loop = Loop(net.extend, net.extend, Bucket(len(prompts()), 16, LENGTH))
    alone = [recomputed(net.logits, prompt, ADDED, length=LENGTH) for prompt in prompts()]
    assert loop.generate(prompts(), ADDED) == alone


def test_what_lies_behind_a_row_in_the_cache_is_not_seen(net):
    bucket = Bucket(8, 16, LENGTH)
    tokens, positions = (each[:, :16] for each in batch(first=20))
    cached = caches(bucket)
    seen = of_tokens(net.extend(tokens, positions, cached), positions)
    for array in cached:
        array[:, :, 20:] = 0
    for one, other in zip(
        seen, of_tokens(net.extend(tokens, positions, cached), positions), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def of_tokens(outputs, positions):
    """What outputs say where there are tokens; in keys and values places come after heads."""
    logits, *new = outputs
    return [each[positions >= 0] for each in (logits, *(array.swapaxes(1, 2) for array in new))]


@pytest.mark.parametrize("adapter", [1, 2])
def test_an_adapter_acts_as_if_its_product_were_in_the_weights(net, adapter, tmp_path):
    weights, lora = dict(np.load(WEIGHTS)), np.load(LORA)
    for layer in range(LAYERS):
        inwards, outwards = (
            lora[f"layers.{layer}.adapters.{name}"][adapter].astype(np.float32)
            for name in ("inwards", "outwards")
        )
        name = f"layers.{layer}.qkv.weight"
        weights[name] = weights[name] + (inwards @ outwards).T
    np.savez(tmp_path / "merged.npz", **weights)
    tokens, positions = (each[[0, 7]] for each in batch())
    chosen = np.array([0, adapter], np.int32)
    none, adapted = net.logits(tokens, positions, chosen)
    merged = NumpyNet(tmp_path / "merged.npz").logits(tokens, positions)
    np.testing.assert_allclose(none, net.logits(tokens, positions)[0], **NEAR)
    np.testing.assert_allclose(adapted, merged[1], **NEAR)
    assert np.abs(adapted - net.logits(tokens, positions)[1]).max() > 1


@pytest.mark.parametrize("ranks", [1, 2, 8])
def test_what_all_parts_add_is_what_the_whole_adds(ranks):
    loaded = {**np.load(WEIGHTS), **np.load(LORA)}
    arrays = {name: array.astype(np.float32) for name, array in loaded.items()}
    parts = [Part(rank, ranks) for rank in range(ranks)]
    x = np.random.default_rng(1).normal(size=(5, INNER)).astype(np.float32)
    for name, array in arrays.items():
        cut = [part.cut(name, array) for part in parts]
        if name.endswith((".out.weight", ".down.weight")):
            wide = x[:, : array.shape[1]]
            slices = np.split(wide, ranks, axis=1)
            total = sum(each @ own.T for each, own in zip(slices, cut, strict=True))
            np.testing.assert_allclose(total, wide @ array.T, **NEAR)
        elif name.endswith((".qkv.weight", ".outwards")):
            # Of queries, keys and values each part has those of its own heads.
            axis = 0 if name.endswith("weight") else -1
            of_parts = [np.split(each, 3, axis=axis) for each in cut]
            whole = [np.concatenate(each, axis) for each in zip(*of_parts, strict=True)]
            np.testing.assert_array_equal(np.concatenate(whole, axis), array)
        elif name.endswith(".up.weight"):
            np.testing.assert_array_equal(np.concatenate(cut), array)
        else:
            assert all(each is array for each in cut), name
    np.testing.assert_array_equal(np.concatenate([part.slopes for part in parts]), SLOPES)


def test_heads_that_cannot_be_shared_out_are_refused():
    with pytest.raises(ValueError, match="8 heads cannot be cut so"):
        Part(0, 3)


def commands():
    """Those of the README that generate, and what they print."""
    text = (ROOT / "examples" / "llm" / "README.md").read_text()
    return re.findall(
        r"^\$ python (-m examples.llm.generate .*)\n((?:(?!\$|```).*\n)+)", text, re.M
    )


@pytest.mark.parametrize(("command", "printed"), commands())
def test_it_generates_what_the_readme_says(command, printed):
    ran = subprocess.run(
        [sys.executable, *shlex.split(command)],
        check=True, timeout=SECONDS, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.stdout == printed


class TestMindSpore:
    """The graphs of MindSpore against NumPy's network."""

    pytestmark = MARKS

    @pytest.fixture(scope="class")
    @staticmethod
    def folder(tmp_path_factory):
        return tmp_path_factory.mktemp("llm")

    @pytest.fixture(scope="class")
    @staticmethod
    def printed(folder):
        ran = subprocess.run(
            [sys.executable, "-m", "tests.examples.direct_llm", folder],
            check=False, timeout=SECONDS, cwd=ROOT, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    @pytest.fixture(scope="class")
    @staticmethod
    def direct(folder, printed):
        return np.load(folder / "direct.npz")

    def test_logits_are_those_of_numpy(self, net, direct):
        there = batch()[1] >= 0
        np.testing.assert_allclose(direct["whole"][there], net.logits(*batch())[there], **NEAR)

    def test_numpy_chooses_the_same_tokens(self, net, direct):
        alone = [recomputed(net.logits, prompt, ADDED, length=LENGTH) for prompt in prompts()]
        assert direct["recomputed"].tolist() == alone

    @pytest.mark.parametrize("rows", ROWS)
    def test_graphs_with_caches_choose_the_tokens_of_a_full_recomputation(self, direct, rows):
        assert direct[f"loop{rows}"].tolist() == direct["recomputed"].tolist()

    @pytest.mark.parametrize("bucket", BUCKETS, ids=str)
    def test_every_bucket_gives_what_numpy_gives(self, net, direct, bucket):
        tokens, positions = (each[: bucket.rows, : bucket.tokens] for each in batch(first=20))
        expected = net.extend(tokens, positions, caches(bucket))
        assert len(expected) == 1 + 2 * LAYERS
        found = [direct[f"{bucket} {number}"] for number in range(len(expected))]
        pairs = zip(of_tokens(found, positions), of_tokens(expected, positions), strict=True)
        for one, other in pairs:
            np.testing.assert_allclose(one, other, **NEAR)
        fused = direct[f"{bucket} {len(expected)}"]
        np.testing.assert_array_equal(fused, direct[f"{bucket} 0"].argmax(-1))

    def test_adapters_act_in_the_graphs_as_in_numpy(self, net, direct):
        loop = Loop(net.extend, net.extend, Bucket(3, 16, LENGTH))
        expected = loop.generate([prompts()[0]] * 3, ADDED, [0, 1, 2])
        assert direct["adapted"].tolist() == expected
        assert direct["adapted recomputed"].tolist() == expected

    def test_the_models_behind_the_network_choose_the_largest(self, direct):
        order = np.argsort(-direct["logits"], axis=-1)[:, :TOP]
        np.testing.assert_array_equal(direct["argmax"], order[:, 0])
        np.testing.assert_array_equal(direct["ids"], order)
        largest = np.take_along_axis(direct["logits"], order, -1)
        np.testing.assert_array_equal(direct["values"], largest)

    def test_files_say_what_the_convention_says(self, folder, printed):
        signature = read_signature(folder / "adapted" / ADAPTED[1].file_name)
        caches = [f"{kind}{layer}" for layer in range(LAYERS) for kind in ("keys", "values")]
        names = [spec.name for spec in signature.inputs]
        assert names == ["tokens", "positions", *caches, "adapter"]
        assert {spec.dims for spec in signature.inputs[2:-1]} == {(3, HEADS, LENGTH, HEAD)}
        outputs = [spec.dims for spec in signature.outputs]
        assert outputs == [(3, 1, VOCABULARY), *[(3, HEADS, 1, HEAD)] * (2 * LAYERS)]
        fused = read_signature(folder / BUCKETS[0].file_name).outputs[-1]
        assert (fused.element_type, fused.dims) == (ElementType.INT32, (1, 16))

    def test_exporting_four_graphs_is_quick(self, printed):
        [seconds] = re.findall(r"^seconds: (.*)$", printed, re.MULTILINE)
        assert float(seconds) < 60
