"""Toy language models, and an engine's side of their steps, for tests of device processes."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from services.agent.backends.reference import ReferenceBackend
from services.agent.backends.reference_language import language
from services.agent.cores import Cores
from services.agent.generation.language_model import LanguageModel
from services.agent.generation.steps import (
    Chosen,
    Forward,
    Row,
    Sampling,
    Start,
    Step,
    StepOutcome,
)
from shared.membership import Device, GangPart, ModelFiles, SubgraphSignature
from shared.servable import LanguageGraphs
from shared.tensors import ElementType, TensorSpec

LAYERS, HEADS, HEAD_DIM, VOCABULARY = 2, 2, 3, 61
TOP = 8
GREEDY = Sampling()

Bucket = tuple[int, int, int]
"""B, T, S."""


def toy(
    folder: Path,
    prefill: Sequence[Bucket] = ((1, 8, 32),),
    decode: Sequence[Bucket] = ((4, 1, 32),),
    *,
    layers: int = LAYERS,
    vocabulary: int = VOCABULARY,
    fused: bool = False,
    adapters: bool = False,
    choosers_rows: int = -1,
    **declared: object,
) -> ModelFiles:
    """A language model of graphs of these shapes, in ``folder``.

    ``declared``: more of ``LanguageGraphs``.
    """
    graphs = LanguageGraphs(len(prefill), len(decode), **declared)
    paths = [
        _extending(folder, bucket, layers, vocabulary, fused, adapters)
        for bucket in (*prefill, *decode)
    ]
    logits = _spec("logits", "float32", choosers_rows, vocabulary)
    if graphs.argmax:
        paths.append(_file(folder, "argmax", [logits], [_spec("ids", "int32", choosers_rows)]))
    if graphs.topk:
        values = _spec("values", "float32", choosers_rows, TOP)
        ids = _spec("ids", "int32", choosers_rows, TOP)
        paths.append(_file(folder, "topk", [logits], [values, ids]))
    return ModelFiles("toy", "reference", tuple(paths), True, (), 0, language=graphs)


def _extending(
    folder: Path, bucket: Bucket, layers: int, vocabulary: int, fused: bool, adapters: bool
) -> str:
    rows, tokens, length = bucket
    cache = (rows, HEADS, length, HEAD_DIM)
    new = (rows, HEADS, tokens, HEAD_DIM)
    inputs = [_spec("tokens", "int32", rows, tokens), _spec("positions", "int32", rows, tokens)]
    outputs = [_spec("logits", "float32", rows, tokens, vocabulary)]
    for layer in range(layers):
        inputs += [_spec(f"{each}{layer}", "float32", *cache) for each in ("keys", "values")]
        outputs += [_spec(f"new_{each}{layer}", "float32", *new) for each in ("keys", "values")]
    if adapters:
        inputs.append(_spec("adapter", "int32", rows))
    if fused:
        outputs.append(_spec("ids", "int32", rows, tokens))
    kind = "decode" if tokens == 1 else "prefill"
    return _file(folder, f"{kind}_{rows}x{tokens}x{length}", inputs, outputs, "language")


def _file(folder, name, inputs, outputs, function=None) -> str:
    path = folder / f"{name}.toy"
    described = {"function": function or name, "inputs": inputs, "outputs": outputs}
    path.write_text(json.dumps(described))
    return str(path)


def _spec(name: str, dtype: str, *dims: int) -> dict[str, object]:
    return {"name": name, "dtype": dtype, "dims": dims}


def load(
    files: ModelFiles, part: GangPart | None = None, cores: Cores | None = None
) -> LanguageModel:
    """As a device process does."""
    model = ReferenceBackend(Device("CPU", 0), part).load(files, None)
    assert files.language is not None
    return LanguageModel(files, files.language, model, cores or Cores(), part)


class Ranks:
    """The ranks of a gang in the place of one model: all apply each step, as workers have them.

    A rank computes what the whole model does, so whatever differs between them shows.
    """

    def __init__(self, files: ModelFiles, rank_size: int = 2) -> None:
        parts = (GangPart(1, rank, rank_size, rank, rank_size) for rank in range(rank_size))
        self.models = [load(files, part) for part in parts]
        self._told: list[Chosen] = []

    def apply(self, step: Step) -> StepOutcome:
        if not step.forget:
            step = replace(step, told=self._told)
        step = replace(step, compares=True)
        first, *others = [model.apply(copied(step)) for model in self.models]
        # What is told is a copy: it comes in a message.
        self._told = [Chosen(c.slot, list(c.tokens), failure=c.failure, complete=c.complete)
                      for c in first.chosen if c.tokens or c.failure or c.complete]  # fmt: skip
        for outcome in others:
            assert not outcome.chosen
            assert outcome.likeliest == first.likeliest
        for model in self.models[1:]:
            self._check_cache(model)
        return first

    def _check_cache(self, follower: LanguageModel) -> None:
        """Another rank's cache holds what that of the rank that chooses does."""
        leader = self.models[0]
        for slot, (mine, theirs) in enumerate(zip(leader._slots, follower._slots, strict=True)):
            assert (mine is None) is (theirs is None)
            if mine is None or theirs is None or mine.failure:
                continue
            assert theirs.tokens == mine.tokens[: len(theirs.tokens)]
            held = min(mine.computed, leader._cache.length)
            assert held <= follower._cache.length
            for one, other in zip(leader._cache.arrays, follower._cache.arrays, strict=True):
                assert np.array_equal(one[slot, :, :held], other[slot, :, :held])


def copied(step: Step) -> Step:
    """As each rank reads it: sequences that start have texts of their own."""
    return replace(step, starts=[replace(each, tokens=list(each.tokens)) for each in step.starts])


@cache
def whole_text(vocabulary: int = VOCABULARY, layers: int = LAYERS):
    """The toy without a cache: tokens and an adapter to the logits behind the last one."""

    def spec(*dims):
        return TensorSpec("x", ElementType.FLOAT32, dims)

    outputs = [spec(1, 1, vocabulary)] + [spec(1, HEADS, 1, HEAD_DIM)] * (2 * layers)
    run = language(SubgraphSignature((), tuple(outputs)))
    empty = [np.zeros((1, HEADS, 1, HEAD_DIM), np.float32)] * (2 * layers)

    @cache
    def logits(tokens: tuple[int, ...], adapter: int = 0):
        positions = np.arange(len(tokens))[None]
        chosen = np.array([adapter])
        return run(np.array([tokens]), positions, *empty, chosen)[0][0]

    return logits


def recomputed(tokens: Iterable[int], number: int, adapter: int = 0) -> list[int]:
    """``number`` greedy tokens, for each of which the whole text is computed."""
    text = list(tokens)
    for _ in range(number):
        text.append(int(whole_text()(tuple(text), adapter)[-1].argmax()))
    return text[len(text) - number :]


class Engine:
    """Sends steps as a worker does, with ids that follow; knows what every slot holds."""

    def __init__(self, model: LanguageModel | Ranks) -> None:
        self.model = model
        self.id = 0
        self.texts: dict[int, list[int]] = {}
        self.computed: dict[int, int] = {}
        self.send(forget=True)

    def send(self, **parts: object) -> StepOutcome:
        """One step of these parts, in which nothing fails that the caller does not expect."""
        self.id += 1
        outcome = self.model.apply(Step(self.id, **parts))
        for chosen in outcome.chosen:
            if chosen.slot in self.texts:
                self.texts[chosen.slot] += chosen.tokens
        return outcome

    def start(
        self,
        slot: int,
        tokens: Sequence[int],
        sampling: Sampling = GREEDY,
        *,
        blocks: Sequence[int] = (),
        block_size: int = 4,
        prompt_tokens: int = 0,
        adapter: int = 0,
    ) -> Start:
        """A sequence takes a slot, with the next step that is sent."""
        self.texts[slot] = list(tokens)
        self.computed[slot] = len(blocks) * block_size
        prompt_tokens = prompt_tokens or len(tokens)
        return Start(slot, list(tokens), list(blocks), prompt_tokens, adapter, sampling)

    def row(self, slot: int, most: int = 1, speculated: Sequence[int] = ()) -> Row:
        """What comes next of a slot: up to ``most`` tokens, and a choice behind the last."""
        position = self.computed[slot]
        left = len(self.texts[slot]) - position
        length = min(left, most)
        self.computed[slot] += length
        return Row(slot, position, length, tuple(speculated), length == left)

    def run(self, slot: int, number: int, *, decode: int, chunk: int) -> list[int]:
        """Compute a slot's text in chunks and continue it by so many tokens at least, alone."""
        before = len(self.texts[slot])
        while self.computed[slot] < len(self.texts[slot]) - 1 or len(self.texts[slot]) == before:
            self.send(prefills=[Forward(0, [self.row(slot, chunk)])])
        while len(self.texts[slot]) < before + number:
            self.send(decode=Forward(decode, [self.row(slot)]))
        return self.texts[slot][before:]


def only(outcome: StepOutcome) -> Chosen:
    """What came out for the only slot of which something is told."""
    (chosen,) = outcome.chosen
    return chosen


def with_language(files: ModelFiles, **changed: object) -> ModelFiles:
    """The same files, declared otherwise."""
    assert files.language is not None
    return replace(files, language=replace(files.language, **changed))


def bytes_tokenizer(folder: Path, merged: Sequence[str] = ()) -> Path:
    """tokenizer.json of byte-level BPE: 256 bytes, what was merged of two tokens each, an end.

    As tokenizers writes it, for instance ``merged=["th", "the"]``.
    """
    spare = iter(range(256, 512))
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    letters = [chr(byte if byte in printable else next(spare)) for byte in range(256)]
    vocabulary = {letter: byte for byte, letter in enumerate(letters)}
    for each in merged:
        vocabulary[each] = len(vocabulary)
    end = len(vocabulary)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    described = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": end,
                "content": "<end>",
                "special": True,
                **dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False),
            }
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level | {"use_regex": True},
        "post_processor": None,
        "decoder": byte_level | {"use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [[each[:-1], each[-1]] for each in merged],
        },
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(described))
    return path
