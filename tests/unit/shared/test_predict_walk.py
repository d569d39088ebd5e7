"""Large requests read without copies mean what protobuf says they mean."""

import contextlib

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from protos.ms_service import ms_service_pb2 as pb
from shared.errors import InvalidRequest
from shared.servable import Method
from shared.stage_graph import StageGraph
from shared.wire.predict_codec import read_predict
from shared.wire.predict_walk import walk_predict, walk_reply

NAMES = st.sampled_from(["x", "y", ""])


@st.composite
def tensors(draw):
    tensor = pb.Tensor(dtype=draw(st.integers(0, 14)))
    tensor.shape.dims.extend(draw(st.lists(st.integers(-1, 300), max_size=3)))
    content = draw(st.sampled_from(["small", "large", "shm", "text", "none"]))
    if content == "small":
        tensor.data = draw(st.binary(max_size=50))
    elif content == "large":
        tensor.data = b"large" * draw(st.integers(205, 600))
    elif content == "shm":
        tensor.shm_data.memory_key = "k"
    elif content == "text":
        tensor.bytes_val.append(draw(st.binary(max_size=20)))
    return tensor


@st.composite
def requests(draw):
    request = pb.PredictRequest()
    if draw(st.booleans()):
        request.servable_spec.name = draw(st.text(st.characters(exclude_categories=("Cs",))))
        request.servable_spec.version_number = draw(st.integers(0, 2**64 - 1))
    for _ in range(draw(st.integers(0, 3))):
        instance = request.instances.add()
        for name in draw(st.lists(NAMES, max_size=3)):
            instance.items[name].CopyFrom(draw(tensors()))
        if draw(st.booleans()):
            instance.output_buffers["o"].memory_key = "k"
    return request


def put_together(instances):
    """Instances as protobuf would have read them."""
    whole = []
    for each in instances:
        items = {}
        for name, tensor in each.items.items():
            items[name] = pb.Tensor()
            items[name].CopyFrom(tensor)
            if name in each.data:
                items[name].data = bytes(each.data[name])
        whole.append((items, each.names_shared_memory))
    return whole


@given(st.lists(requests(), min_size=1, max_size=2))
def test_the_walk_reads_what_protobuf_reads(parts):
    """Also when a message is two that were written one after the other."""
    message = b"".join(part.SerializeToString() for part in parts)
    expected = pb.PredictRequest.FromString(message)
    spec, instances = walk_predict(message)
    assert spec == expected.servable_spec
    assert put_together(instances) == [
        (dict(each.items), bool(each.output_buffers)) for each in expected.instances
    ]


@given(requests(), st.data())
def test_damaged_messages_are_refused_never_worse(request, data):
    message = bytearray(request.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        if message:
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(message)))
    with contextlib.suppress(DecodeError, IndexError, ValueError):
        walk_predict(bytes(message[:cut]))


def test_a_large_tensor_is_a_view_of_the_message():
    array = np.arange(100_000, dtype=np.float32)
    request = pb.PredictRequest()
    tensor = request.instances.add().items["x"]
    tensor.dtype = pb.MS_FLOAT32
    tensor.shape.dims.extend(array.shape)
    tensor.data = array.tobytes()
    message = request.SerializeToString()
    ((read,),) = read_predict(message).instances(Method("m", ("x",), (), StageGraph(1, (), ())))
    assert np.array_equal(read, array)
    assert np.shares_memory(read, np.frombuffer(message, np.uint8))
    with pytest.raises(InvalidRequest, match="not a valid PredictRequest"):
        read_predict(message[:-1])


@given(requests(), st.lists(st.builds(pb.ErrorMsg, error_code=st.integers(0, 9)), max_size=3))
def test_replies_are_read_as_protobuf_reads_them(request, errors):
    reply = pb.PredictReply(instances=request.instances, error_msg=errors)
    instances, found = walk_reply(reply.SerializeToString())
    assert found == errors
    assert put_together(instances) == put_together(walk_predict(request.SerializeToString())[1])
