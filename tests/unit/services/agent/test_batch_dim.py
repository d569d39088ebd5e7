"""The batch size of a model, and what keeps it from having one."""

import pytest

from services.agent.backends.batch_dim import DEFAULT_MAX_BATCH_SIZE, batch_size_of
from shared.errors import LoadFailed
from shared.membership import GangPart, ModelFiles, SubgraphSignature
from shared.tensors import ElementType, TensorSpec


def specs(prefix, dims):
    return tuple(
        TensorSpec(f"{prefix}{number}", ElementType.FLOAT32, each)
        for number, each in enumerate(dims, 1)
    )


def subgraph(*inputs, gives=None):
    return SubgraphSignature(specs("x", inputs), specs("y", [gives] if gives is not None else []))


def size(*subgraphs, batch=True, without=(), most=0):
    paths = tuple(f"/models/{number}.mindir" for number in range(1, len(subgraphs) + 1))
    return batch_size_of(ModelFiles("m", "mindir", paths, batch, without, most), subgraphs)


def test_a_static_batch_dim_is_the_batch_size_whatever_is_declared():
    assert size(subgraph((4, 2), (4,), gives=(4, 9)), most=8) == 4


def test_a_dynamic_batch_dim_takes_what_is_declared_or_the_default():
    assert size(subgraph((-1, 2), gives=(-1, 2)), most=8) == 8
    assert size(subgraph((-1, 2), gives=(-1, 2))) == DEFAULT_MAX_BATCH_SIZE


def test_without_batch_dim_nothing_has_to_agree():
    assert size(subgraph((4, 2), (), gives=(7,)), batch=False) == 1


def test_an_output_may_leave_its_rows_open():
    assert size(subgraph((4, 2), gives=(-1, 2))) == 4


def test_inputs_without_batch_dim_are_left_out():
    assert size(subgraph((4, 2), (3,), ()), without=(1, 2)) == 4


def test_a_subgraph_with_fewer_inputs_than_another_is_no_fault():
    assert size(subgraph((4, 2), (3,)), subgraph((4, 2)), without=(1,)) == 4


def test_a_rank_into_which_nothing_goes_has_no_batch_size_of_its_own():
    files = ModelFiles("m", "mindir", ("/models/1.mindir",), True, (), 8)
    part = GangPart(1, 1, 2, 1, 2)
    assert batch_size_of(files, [subgraph(gives=())], part) == 0
    assert batch_size_of(files, [subgraph((4, 2), gives=(4,))], part) == 4


@pytest.mark.parametrize(
    ("subgraphs", "without", "complaint"),
    [
        (
            [subgraph((4, 2), (3, 2))], (),
            "model 'm': input 'x2' of '1.mindir' has batch size 3,"
            " input 'x1' of '1.mindir' has 4",
        ),
        (
            [subgraph((4, 2)), subgraph((-1, 2))], (),
            "model 'm': input 'x1' of '2.mindir' has batch size any,"
            " input 'x1' of '1.mindir' has 4",
        ),
        (
            [subgraph((-1, 2), gives=(1, 2))], (),
            "model 'm': output 'y1' of '1.mindir' has batch size 1,"
            " input 'x1' of '1.mindir' has any",
        ),
        (
            [subgraph((4, 2), ())], (),
            "model 'm': input 'x2' of '1.mindir' has no batch dim, it is a scalar",
        ),
        (
            [subgraph((4, 2), gives=())], (),
            "model 'm': output 'y1' of '1.mindir' has no batch dim, it is a scalar",
        ),
        (
            [subgraph((4, 2))], (1,),
            "model 'm' has 1 inputs, without_batch_dim_inputs names input 1",
        ),
        (
            [subgraph((4, 2), (4,)), subgraph((4,))], (0,),
            "model 'm': no input of '2.mindir' has a batch dim",
        ),
        ([subgraph()], (), "model 'm': no input of '1.mindir' has a batch dim"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_named(subgraphs, without, complaint):
    with pytest.raises(LoadFailed) as failed:
        size(*subgraphs, without=without)
    assert failed.value.message == complaint
