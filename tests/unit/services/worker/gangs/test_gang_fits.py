"""Ranks that fit together are one model; others are refused, and the message says which."""

import re

import pytest

from services.worker.gangs.fits import signature_of
from services.worker.gangs.groups import groups_of
from shared.errors import LoadFailed
from shared.membership import ModelSignature, SubgraphSignature
from shared.servable import Distribution
from shared.tensors import ElementType, TensorSpec

KEY = "matmul"


def spec(*dims, dtype=ElementType.FLOAT32):
    return TensorSpec("x", dtype, dims)


def loaded(*graphs, batch_size=8, key=KEY):
    """What a rank loaded: its subgraphs as (inputs, outputs)."""
    subgraphs = tuple(SubgraphSignature(tuple(ins), tuple(outs)) for ins, outs in graphs)
    return [ModelSignature(key, subgraphs, batch_size)]


IN, OUT = [spec(8, 96)], [spec(8, 16)]


def one_stage(*ranks):
    return signature_of(KEY, groups_of(Distribution(len(ranks)), "CPU"), dict(enumerate(ranks)))


def two_stages(*ranks, device_type="CPU"):
    groups = groups_of(Distribution(len(ranks), 2), device_type)
    return signature_of(KEY, groups, dict(enumerate(ranks)))


def refused(expected, check, *ranks, **named):
    with pytest.raises(LoadFailed, match=re.escape(expected)):
        check(*ranks, **named)


def test_a_gang_takes_what_its_first_rank_takes_and_gives_what_its_last_one_gives():
    signature = one_stage(loaded((IN, OUT)), loaded((IN, OUT)))
    assert signature == ModelSignature(KEY, (SubgraphSignature(tuple(IN), tuple(OUT)),), 8)


def test_relayed_stages_are_one_model():
    between = [spec(8, 4)]
    first, second = loaded((IN, between)), loaded((between, OUT))
    (graph,) = two_stages(first, first, second, second).subgraphs
    assert (list(graph.inputs), list(graph.outputs)) == (IN, OUT)


def test_later_stages_that_send_and_receive_by_themselves_take_nothing_or_the_same():
    first, silent, same = loaded((IN, [])), loaded(([], OUT)), loaded((IN, OUT))
    assert two_stages(first, silent, device_type="Ascend")
    assert two_stages(first, same, device_type="Ascend")
    other = loaded(([spec(8, 95)], OUT))
    refused(
        "inputs of subgraph 0 differ: rank 1 has float32 [8, 95], rank 0 float32 [8, 96]",
        two_stages, first, other, device_type="Ascend",
    )  # fmt: skip


def test_every_rank_has_as_many_subgraphs():
    expected = "rank 1 has 1 subgraphs, rank 0 2"
    refused(expected, one_stage, loaded((IN, OUT), (IN, OUT)), loaded((IN, OUT)))


def test_ranks_of_the_first_stage_take_the_same():
    refused(
        "inputs of subgraph 1 differ: rank 1 has int32 [8, 96], rank 0 float32 [8, 96]",
        one_stage,
        loaded((IN, OUT), (IN, OUT)),
        loaded((IN, OUT), ([spec(8, 96, dtype=ElementType.INT32)], OUT)),
    )


def test_ranks_of_one_stage_give_the_same():
    expected = "outputs of subgraph 0 differ: rank 1 has float32 [8, 17], rank 0 float32 [8, 16]"
    refused(expected, one_stage, loaded((IN, OUT)), loaded((IN, [spec(8, 17)])))


def test_batch_sizes_are_equal_where_there_is_one():
    assert one_stage(loaded((IN, OUT)), loaded((IN, OUT), batch_size=0))
    expected = "rank 1 has batch size 4, rank 0 8"
    refused(expected, one_stage, loaded((IN, OUT)), loaded((IN, OUT), batch_size=4))


def test_the_first_rank_takes_something_and_the_last_one_gives_something():
    refused("subgraph 0 of rank 0 has no inputs", one_stage, loaded(([], OUT)))
    refused("subgraph 0 of rank 0 has no outputs", one_stage, loaded((IN, [])))


@pytest.mark.parametrize(
    "taken", [[spec(8, 5)], [spec(8, 4), spec(8, 4)], [spec(8, 4, 1)],
              [spec(8, 4, dtype=ElementType.FLOAT16)]],
)  # fmt: skip
def test_a_stage_must_take_what_the_one_before_it_gives(taken):
    first, second = loaded((IN, [spec(8, 4)])), loaded((taken, OUT))
    told = ", ".join(f"{each.element_type.name.lower()} {list(each.dims)}" for each in taken)
    refused(
        f"subgraph 0 of rank 1 takes {told},"
        " but the stage before it gives float32 [8, 4]",
        two_stages, first, second,
    )  # fmt: skip


def test_sizes_that_files_leave_open_fit_any():
    first, second = loaded((IN, [spec(-1, 4)])), loaded(([spec(8, -1)], OUT))
    assert two_stages(first, second)


def test_a_rank_that_loaded_something_else_is_named():
    refused("rank 1 did not load model 'matmul'", one_stage, loaded((IN, OUT)),
            loaded((IN, OUT), key="other"))  # fmt: skip
