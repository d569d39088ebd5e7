"""A device process, spoken to without a process around it."""

import json
import socket
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from protos.serving.v1 import execution_pb2
from protos.serving.v1 import generation_pb2 as pb
from services.agent.device.channel import DONE, SECONDS
from services.agent.device.load_message import LoadMessage
from services.agent.device.process import DeviceProcess
from services.agent.device.withdrawals import Withdrawals, create_page
from shared.errors import ExecutionFailed, InvalidRequest, LoadFailed
from shared.membership import Device, ModelFiles
from shared.wire.tensor_codec import read_tensors, write_tensor
from tests.support.language import recomputed, toy


def test_a_key_is_overwritten_however_loading_ends(tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = DeviceProcess(theirs, Withdrawals(create_page()))
        files = ModelFiles("toy", "reference", (str(tmp_path / "toy"),), True, (), 8)
        message = LoadMessage(Device("CPU", 0), (files,), "AES-GCM").written()
        secret = bytearray(b"tyger-tyger-brng")
        with pytest.raises(LoadFailed, match="'toy': a dec_key was given"):
            process._load(message, secret)
        assert secret == bytes(16)
        secret = bytearray(b"tyger-tyger-brng")
        process._load(LoadMessage(Device("CPU", 0), (), "AES-GCM").written(), secret)
        assert secret == bytes(16)


@contextmanager
def loaded(*models):
    """A device process that holds them, and what it told of them."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = DeviceProcess(theirs, Withdrawals(create_page()))
        try:
            told = process._load(LoadMessage(Device("CPU", 0), models).written(), bytearray())
            yield process, json.loads(told.head)
        finally:
            process._reader.close()


def sent(process, step, model="toy"):
    head = execution_pb2.ExecuteHead(model=model, rows=1).SerializeToString()
    answer = process._execute(head, step.SerializeToString())
    assert answer.kind == DONE
    outcome = pb.StepOutcome.FromString(answer.payload)
    assert SECONDS.unpack(answer.head) == (outcome.device_seconds,)
    return outcome


def first_step(tokens):
    start = pb.Start(slot=1, tokens=tokens, prompt_tokens=len(tokens))
    row = pb.Row(slot=1, count=len(tokens), samples=True)
    return pb.Step(id=1, forget=True, starts=[start], prefills=[pb.Forward(graph=0, rows=[row])])


def test_steps_are_applied_to_a_language_model(tmp_path):
    files = toy(tmp_path, [(1, 8, 16), (2, 4, 32)], [(4, 1, 16), (8, 1, 32)], argmax=True)
    with loaded(files) as (process, told):
        # The engine finds all buckets in what is told of the graphs.
        graphs = told["signatures"][0]["subgraphs"]
        shapes = [(each["inputs"][0]["dims"], each["inputs"][2]["dims"][2]) for each in graphs[:4]]
        assert shapes == [([1, 8], 16), ([2, 4], 32), ([4, 1], 16), ([8, 1], 32)]
        (chosen,) = sent(process, first_step([4, 5, 6])).chosen
        tokens = list(chosen.tokens)
        for number in range(2, 6):
            row = pb.Row(slot=1, position=number + 1, count=1, samples=True)
            outcome = sent(process, pb.Step(id=number, decode=pb.Forward(graph=2, rows=[row])))
            assert outcome.id == number
            assert outcome.device_seconds > 0
            tokens += outcome.chosen[0].tokens
        assert tokens == recomputed([4, 5, 6], 5)


def test_what_is_no_step_is_the_workers_fault(tmp_path):
    with loaded(toy(tmp_path)) as (process, _):
        head = execution_pb2.ExecuteHead(model="toy").SerializeToString()
        with pytest.raises(InvalidRequest, match="not a Step"):
            process._execute(head, b"\xff")
        with pytest.raises(InvalidRequest, match="not an ExecuteHead"):
            process._execute(b"\xff", b"")
        with pytest.raises(InvalidRequest, match="model 'toy', step 4: nothing is kept here"):
            sent(process, pb.Step(id=4))


def test_a_graph_that_fails_names_model_and_step(tmp_path):
    files = toy(tmp_path)
    for path in map(Path, files.paths):
        described = json.loads(path.read_text()) | {"faults": {"60": "raise"}}
        path.write_text(json.dumps(described))
    with loaded(files) as (process, _):
        with pytest.raises(ExecutionFailed, match="model 'toy', step 1: a fault on demand"):
            sent(process, first_step([1, 60]))
        (chosen,) = sent(process, first_step([1, 2])).chosen
        assert chosen.tokens == recomputed([1, 2], 1)


def test_graphs_that_do_not_fit_cannot_be_loaded(tmp_path):
    files = toy(tmp_path, decode=[(2, 1, 8), (4, 2, 8)])
    with pytest.raises(LoadFailed, match=r"'prefill_4x2x8\.toy' is declared to decode"):
        with loaded(files):
            pass


def test_other_models_beside_a_language_model_take_batches(tmp_path):
    spec = {"name": "x", "dtype": "float32", "dims": [-1, 2]}
    path = tmp_path / "double.toy"
    path.write_text(json.dumps({"function": "double", "inputs": [spec], "outputs": [spec]}))
    double = ModelFiles("double", "reference", (str(path),), True, (), 8)
    with loaded(toy(tmp_path), double) as (process, _):
        head = execution_pb2.ExecuteHead(model="double", rows=1).SerializeToString()
        inputs = [write_tensor(np.ones((1, 2), np.float32))]
        request = execution_pb2.ExecuteRequest(inputs=inputs).SerializeToString()
        reply = execution_pb2.ExecuteReply.FromString(process._execute(head, request).payload)
        (output,) = read_tensors(reply.outputs)
        assert output.tolist() == [[2.0, 2.0]]
        assert sent(process, first_step([1, 2])).chosen
