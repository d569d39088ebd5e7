"""What the client sends and what it makes of replies (MindSpore Serving's reference, 1.2)."""

import grpc
import numpy as np
import pytest

from mindspore_serving.client.encoding import decode_reply, encode_request, rpc_failure_text
from mindspore_serving.client.target import SSLConfig, target_of
from protos.ms_service import ms_service_pb2 as pb

SPEC = pb.ServableSpec(name="s", method_name="m")


def reply(*instances, errors=()):
    made = pb.PredictReply()
    for items in instances:
        instance = made.instances.add()
        for name, tensor in items.items():
            instance.items[name].CopyFrom(tensor)
    for code, text in errors:
        made.error_msg.add(error_code=code, error_msg=text.encode())
    return made


def reals(*values):
    data = np.asarray(values, "<f4")
    return pb.Tensor(shape={"dims": data.shape}, dtype=pb.MS_FLOAT32, data=data.tobytes())


def test_several_texts_or_bytes_of_one_output_are_a_list():
    texts = pb.Tensor(dtype=pb.MS_STRING, bytes_val=[b"a", b"b"])
    raw = pb.Tensor(dtype=pb.MS_BYTES, bytes_val=[b"\x00", b"\xff"])
    assert decode_reply(reply({"t": texts, "r": raw}), instances_count=1) == [
        {"t": ["a", "b"], "r": [b"\x00", b"\xff"]}
    ]


def test_an_error_stands_in_the_place_of_its_instance():
    made = reply({"y": reals(1)}, {}, errors=[(0, ""), (1, "no")])
    first, second = decode_reply(made, instances_count=2)
    assert (first["y"].tolist(), second) == ([1], {"error": "no"})


@pytest.mark.parametrize(
    ("made", "count", "reason"),
    [
        (reply({}, {}, {}, errors=[(0, ""), (1, "x")]), 3, "error_msg count 2 is not 0, 1 or"),
        (reply({"y": reals(1)}), 2, "The reply has 1 instances, the request had 2"),
        (
            reply({"y": pb.Tensor(shape={"dims": [2]}, dtype=pb.MS_FLOAT32, data=b"1234")}),
            *(1, r"A reply tensor of shape \[2\] has 4 bytes"),
        ),
        (reply({"y": pb.Tensor(dtype=99)}), 1, "Unknown data type 99"),
    ],
)
def test_a_reply_that_contradicts_itself_is_told(made, count, reason):
    with pytest.raises(RuntimeError, match=reason):
        decode_reply(made, instances_count=count)


@pytest.mark.parametrize("value", [np.array(["abc"]), np.array([object()]), np.array([1j])])
def test_arrays_of_a_dtype_that_cannot_travel_are_told_by_it(value):
    with pytest.raises(RuntimeError, match=f"Unknown data type {value.dtype.name}"):
        encode_request(SPEC, {"x": value})


@pytest.mark.parametrize("wrong", ["1", True, 1.0, None])
def test_a_version_is_an_integer(wrong):
    with pytest.raises(RuntimeError, match="Parameter 'version_number' should be int, but actual"):
        target_of("a:1", "s", "m", wrong)


@pytest.mark.parametrize(
    "given",
    [{"certificate": "c.pem"}, {"private_key": "k.pem"}, {"custom_ca": 1}, {"custom_ca": ""}],
)
def test_files_of_a_client_are_checked_when_they_are_named(given):
    with pytest.raises(RuntimeError):
        SSLConfig(**given)


class Failed(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE

    def details(self):
        return "nobody there"


def test_a_failed_call_is_told_in_the_originals_form():
    text = rpc_failure_text(Failed())
    assert text.startswith("Grpc Error, (14, 'unavailable'), nobody there")
