"""Graphs that fit together are one model; others are refused, and the message names the file."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from services.agent.backends.reference import ReferenceBackend
from services.agent.generation.graphs import Bucket, Graphs, Kind, graphs_of
from shared.errors import LoadFailed
from shared.membership import Device
from tests.support.language import toy, with_language


def read(files):
    model = ReferenceBackend(Device("CPU", 0)).load(files, None)
    return graphs_of(files, files.language, model.signature.subgraphs)


def changed(files, number, change):
    """The same model, but for one file."""
    path = Path(files.paths[number])
    described = json.loads(path.read_text())
    change(described)
    other = path.with_name("other.toy")
    other.write_text(json.dumps(described))
    paths = list(files.paths)
    paths[number] = str(other)
    return replace(files, paths=tuple(paths))


def refused(files, expected):
    with pytest.raises(LoadFailed) as caught:
        read(files)
    assert expected in caught.value.message


@pytest.fixture
def files(tmp_path):
    return toy(tmp_path, [(1, 8, 16), (2, 8, 32)], [(4, 1, 16), (8, 1, 32)], argmax=True, topk=True)


def test_what_files_are(files):
    assert read(files) == Graphs(
        Kind(2, 2, 3, 61, adapters=False),
        (Bucket(1, 8, 16), Bucket(2, 8, 32), Bucket(4, 1, 16), Bucket(8, 1, 32)),
        first_decode=2,
        argmax=4,
        topk=5,
        top=8,
    )
    assert (read(files).slots, read(files).lengths) == (8, [16, 32])


def test_a_model_may_have_adapters_and_graphs_that_find_the_most_likely_token(tmp_path):
    graphs = read(toy(tmp_path, fused=True, adapters=True))
    assert graphs.kind.adapters
    assert all(bucket.fused_argmax for bucket in graphs.buckets)


def test_as_many_files_as_declared(files):
    refused(with_language(files, argmax=False), "'toy': declared are 2 prefill and 2 decode graphs,"
            " 0 argmax and 1 topk, at least one of them to decode; 6 files came")  # fmt: skip
    refused(with_language(files, prefill=4, decode=0), "4 prefill and 0 decode graphs")


def test_a_block_has_at_least_one_token(files):
    refused(with_language(files, block_size=0), "block_size: expected at least 1, got 0")


def test_a_graph_that_decodes_computes_one_token(files):
    refused(
        with_language(files, prefill=1, decode=3),
        "'prefill_2x8x32.toy' is declared to decode: expected one token of each row, got 8",
    )


def test_graphs_of_one_model(files, tmp_path):
    (tmp_path / "two").mkdir()
    larger = toy(tmp_path / "two", decode=[(4, 1, 32)], vocabulary=70)
    paths = (*files.paths[:2], larger.paths[-1], *files.paths[3:])
    refused(
        replace(files, paths=paths),
        "'decode_4x1x32.toy' has 2 layers of 2 heads of 3, a vocabulary of 70, without adapters,"
        " 'prefill_1x8x16.toy' has 2 layers of 2 heads of 3, a vocabulary of 61, without adapters",
    )


CHANGES = {
    "inputs": (0, lambda d: d["inputs"].__delitem__(slice(2, None)), "got 2"),
    "outputs": (0, lambda d: d["outputs"].pop(), "new keys and values of 2 layers, got 4"),
    "tokens": (
        1,
        lambda d: d["inputs"][0].update(dtype="int64"),
        "input 'tokens': expected int32[2, 8], got int64[2, 8]",
    ),
    "positions": (
        2,
        lambda d: d["inputs"][1].update(dims=[4, 2]),
        "input 'positions': expected int32[4, 1], got int32[4, 2]",
    ),
    "cache": (
        2,
        lambda d: d["inputs"][4].update(dims=[4, 2, 8, 3]),
        "input 'keys1': expected float32[4, 2, 16, 3], got float32[4, 2, 8, 3]",
    ),
    "dynamic": (
        0,
        lambda d: d["inputs"][0].update(dims=[1, -1]),
        "of fixed sizes and logits [B, T, V], got int32[1, ?]",
    ),
    "flat": (0, lambda d: d["inputs"][2].update(dims=[1, 16, 6]), "keys [B, H, S, D]"),
    "logits": (
        0,
        lambda d: d["outputs"][0].update(dims=[1, 4, 61]),
        "output 'logits': expected float32[1, 8, 61], got float32[1, 4, 61]",
    ),
    "new keys": (
        3,
        lambda d: d["outputs"][1].update(dtype="float16"),
        "output 'new_keys0': expected float32[8, 2, 1, 3], got float16[8, 2, 1, 3]",
    ),
    "argmax": (
        4,
        lambda d: d["outputs"][0].update(dtype="int64"),
        "output 'ids': expected int32[?], got int64[?]",
    ),
    "argmax of more": (4, lambda d: d["inputs"].append(d["inputs"][0]), "got 2 and 1"),
    "topk": (
        5,
        lambda d: d["inputs"][0].update(dims=[-1, 60]),
        "input 'logits': expected float32[?, 61], got float32[?, 60]",
    ),
    "topk ids": (
        5,
        lambda d: d["outputs"][1].update(dims=[-1, 7]),
        "output 'ids': expected int32[?, 8], got int32[?, 7]",
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_graph_that_is_none_is_named(files, case):
    number, change, expected = CHANGES[case]
    files = changed(files, number, change)
    refused(files, expected)
    refused(files, "model 'toy': 'other.toy'")
