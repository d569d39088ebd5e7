"""Steps and outcomes survive the way between worker and device process."""

import pytest

from protos.serving.v1 import exchange_pb2
from protos.serving.v1 import generation_pb2 as pb
from services.agent.generation.step_codec import read_step, write_outcome
from services.agent.generation.steps import (
    Chosen,
    Export,
    Forward,
    Grammar,
    Import,
    Row,
    Sampling,
    Start,
    Step,
    StepOutcome,
    StoreBlock,
    TokenLogprobs,
)
from shared.errors import InvalidRequest
from shared.regions import Region

REGION = exchange_pb2.Region(pid=7, fd=8, nonce=b"n" * 16)


def test_a_step_with_everything():
    sampling = pb.Sampling(
        temperature=0.5,
        top_k=3,
        top_p=0.25,
        min_p=0.125,
        repetition_penalty=1.5,
        presence_penalty=-1.0,
        frequency_penalty=2.0,
        logit_bias={7: -100.0, 9: 1.0},
        seed=2**64 - 1,
        min_tokens=4,
        stop_ids=[1, 2],
        logprobs=0,
        prompt_logprobs=5,
        allowed_ids=[3, 4],
        grammar=pb.Grammar(regex="a+"),
    )
    start = pb.Start(
        slot=1, tokens=[5, 6], blocks=[8], prompt_tokens=2, adapter=3, sampling=sampling
    )
    step = pb.Step(
        id=12,
        forget=True,
        stores=[pb.StoreBlock(slot=1, index=2, block=3)],
        exports=[
            pb.Export(slot=2, position=16, count=8),
            pb.Export(slot=2, position=24, count=1, region=REGION),
        ],
        freed=[0, 4],
        starts=[start],
        imports=[
            pb.Import(slot=1, position=4, count=2, data=b"cache"),
            pb.Import(slot=1, position=6, count=3, region=REGION),
        ],
        prefills=[
            pb.Forward(
                graph=1,
                rows=[pb.Row(slot=1, position=8, count=1, speculated=[9, 9], samples=True)],
            )
        ],
        decode=pb.Forward(graph=2, rows=[pb.Row(slot=3, position=5, count=1, samples=True)]),
        told=[pb.Chosen(slot=4, tokens=[1, 2], complete=True), pb.Chosen(slot=5, failure="no")],
        compares=True,
    )
    assert read_step(step.SerializeToString()) == Step(
        12,
        True,
        [StoreBlock(1, 2, 3)],
        [0, 4],
        [
            Start(
                1,
                [5, 6],
                [8],
                2,
                3,
                Sampling(
                    0.5, 3, 0.25, 0.125, 1.5, -1.0, 2.0, {7: -100.0, 9: 1.0}, 2**64 - 1, 4,
                    (1, 2), 0, 5, (3, 4), Grammar("regex", ("a+",)),
                ),
            )
        ],
        [Import(1, 4, 2, b"cache"), Import(1, 6, 3, Region(7, 8, b"n" * 16))],
        [Forward(1, [Row(1, 8, 1, [9, 9], True)])],
        Forward(2, [Row(3, 5, 1, [], True)]),
        [Export(2, 16, 8), Export(2, 24, 1, Region(7, 8, b"n" * 16))],
        [Chosen(4, [1, 2], complete=True), Chosen(5, failure="no")],
        True,
    )  # fmt: skip


def test_what_is_absent_does_nothing():
    step = pb.Step(id=1, starts=[pb.Start(tokens=[1], prompt_tokens=1)])
    (start,) = read_step(step.SerializeToString()).starts
    assert start.sampling == Sampling()
    assert read_step(step.SerializeToString()).decode is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (pb.Grammar(json_schema="{}"), Grammar("json_schema", ("{}",))),
        (pb.Grammar(choices=pb.Choices(texts=["a", ""])), Grammar("choices", ("a", ""))),
        (pb.Grammar(any_json=True), Grammar("any_json")),
        (pb.Grammar(), None),
    ],
)
def test_grammars(written, expected):
    start = pb.Start(sampling=pb.Sampling(grammar=written))
    step = pb.Step(starts=[start]).SerializeToString()
    assert read_step(step).starts[0].sampling.grammar == expected


def test_what_is_no_step():
    with pytest.raises(InvalidRequest, match="not a Step"):
        read_step(b"\xff\xff")


def test_an_outcome():
    logprobs = TokenLogprobs(-0.5, 2, [4, 5], [-0.25, -0.5])
    outcome = StepOutcome(
        9,
        [
            Chosen(1, [5, 6], [logprobs], [logprobs, logprobs]),
            Chosen(2, failure="no"),
            Chosen(3, [7], complete=True),
        ],
        0.25,
        [b"cache", b""],
        [8, 9],
    )
    written = pb.TokenLogprobs(logprob=-0.5, rank=2, ids=[4, 5], logprobs=[-0.25, -0.5])
    assert pb.StepOutcome.FromString(write_outcome(outcome)) == pb.StepOutcome(
        id=9,
        chosen=[
            pb.Chosen(
                slot=1, tokens=[5, 6], logprobs=[written], prompt_logprobs=[written, written]
            ),
            pb.Chosen(slot=2, failure="no"),
            pb.Chosen(slot=3, tokens=[7], complete=True),
        ],
        device_seconds=0.25,
        exported=[b"cache", b""],
        likeliest=[8, 9],
    )
