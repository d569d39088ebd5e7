"""How a batch is fitted to a model into which nothing goes: its rows come from other ranks."""

import numpy as np
import pytest

from services.agent.device.rows import run_rows
from shared.errors import ExecutionFailed, InvalidRequest
from shared.membership import ModelFiles, ModelSignature, SubgraphSignature


def run(rows, *outputs, inputs=(), with_batch_dim=True):
    files = ModelFiles("m", "reference", ("m",), with_batch_dim, (), 0)
    signature = ModelSignature("m", (SubgraphSignature((), ()),), 0)
    return run_rows(files, signature, 0, inputs, rows, lambda arrays: [*arrays, *outputs])


def test_as_many_rows_come_out_as_were_asked_for():
    (output,) = run(3, np.arange(8).reshape(4, 2))
    assert output.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_fewer_rows_than_were_asked_for_are_an_error():
    with pytest.raises(ExecutionFailed, match=r"an output of shape \[2\] for 3 rows"):
        run(3, np.zeros(2))


def test_without_batch_dim_everything_comes_out():
    assert run(1, np.zeros(2), with_batch_dim=False)[0].shape == (2,)


def test_inputs_that_it_does_not_take_are_refused():
    with pytest.raises(InvalidRequest, match="model 'm' expected 0 inputs, got 1"):
        run(1, np.zeros(2), inputs=[np.zeros((1, 2), np.float32)])
