"""Bodies of requests and replies, and every fault of the original's table."""

import numpy as np
import orjson
import pytest

from protos.ms_service import ms_service_pb2 as pb
from services.master.rest.requests import read_json, read_request, write_failure, write_reply
from services.master.spec import Spec
from shared.errors import ExecutionFailed, InternalError, InvalidRequest
from shared.wire.predict_caller import write_request

SPEC = Spec("toy", "predict", 2)


@pytest.mark.parametrize(
    ("instances", "expected"),
    [
        ({"x": 1, "t": "a"}, [{"x": 1, "t": "a"}]),
        ([{"x": [1.5, 2.5]}, {"x": [0.5, 0.25]}], [{"x": [1.5, 2.5]}, {"x": [0.5, 0.25]}]),
    ],
)
def test_an_object_is_one_instance_and_a_list_as_many_as_it_holds(instances, expected):
    message = read_request(SPEC, {"instances": instances, "other": "ignored"})
    request = pb.PredictRequest.FromString(message)
    spec = request.servable_spec
    assert (spec.name, spec.method_name, spec.version_number, "") == SPEC
    found = [{name: plain(item) for name, item in each.items.items()} for each in request.instances]
    assert found == expected


def plain(tensor):
    if tensor.dtype == pb.MS_STRING:
        return tensor.bytes_val[0].decode()
    dtype = {pb.MS_INT32: np.int32, pb.MS_FLOAT32: np.float32}[tensor.dtype]
    return np.frombuffer(tensor.data, dtype).reshape(tuple(tensor.shape.dims)).tolist()


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        ({}, "key 'instances' expects to exist once, but actually 0 times"),
        ([], "key 'instances' expects to exist once, but actually 0 times"),
        (1, "key 'instances' expects to exist once, but actually 0 times"),
        ({"instances": []}, "instances value is array type, but no value"),
        ({"instances": [1, 2]}, "instances no key mode is not supported"),
        ({"instances": [{"x": 1}, 2]}, "json array, instance is not object type (instances[1])"),
        (
            {"instances": [{"x": 1}, {}]},
            "json array, instance is object type, but no value (instances[1])",
        ),
        ({"instances": {}}, "json object, value is empty"),
        ({"instances": 1}, "instances value should be an object or an array of objects"),
        ({"instances": None}, "instances value should be an object or an array of objects"),
        (
            {"instances": {"x": None}},
            "json value is null, it is not supported (instances, key 'x')",
        ),
        (
            {"instances": [{"x": 1}, {"x": []}]},
            "json array, shape is empty (instances[1], key 'x')",
        ),
    ],
)
def test_faults_of_content_in_the_originals_words(asked, fault):
    with pytest.raises(InvalidRequest) as raised:
        read_request(SPEC, asked)
    assert raised.value.message.startswith("Parser request failed, " + fault)


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "http message invalid"),
        (b"{", "Illegal JSON format."),
        (b"\xff\xfe", "Illegal JSON format."),
        (b'{"instances": {"x": NaN}}', "Illegal JSON format."),
        (b"[" * 5000, "Illegal JSON format."),
    ],
)
def test_faults_of_bodies_in_the_originals_words(body, fault):
    with pytest.raises(InvalidRequest) as raised:
        read_json(body)
    assert raised.value.message.startswith(fault)
    assert raised.value.message.isascii()


def reply(*errors, instances=()):
    answer = pb.PredictReply.FromString(write_reply_message(instances))
    for code, text in errors:
        answer.error_msg.add(error_code=code, error_msg=text)
    return write_reply(answer.SerializeToString())


def write_reply_message(instances):
    request = pb.PredictRequest.FromString(write_request("toy", "predict", 1, instances))
    return pb.PredictReply(instances=request.instances).SerializeToString()


def test_replies_name_each_output_or_what_went_wrong():
    y = np.array([1.5, 2.5], np.float32)
    assert reply(instances=[{"y": y}]) == (b'{"instances":[{"y":[1.5,2.5]}]}', 200)
    mixed = reply((0, b""), (1, b"no"), instances=[{"y": y}, {}])
    assert mixed == (b'{"instances":[{"y":[1.5,2.5]},{"error_msg":"no"}]}', 200)
    large = np.arange(10_000, dtype=np.float32)
    body, status = reply(instances=[{"y": large, "t": "a"}])
    assert orjson.loads(body) == {"instances": [{"y": large.tolist(), "t": "a"}]}
    assert status == 200


def test_when_nothing_succeeded_the_status_says_so():
    assert reply((2, b"bad")) == (b'{"error_msg":"bad"}', 400)
    assert reply((1, b"broke")) == (b'{"error_msg":"broke"}', 500)
    assert reply((2, b"a"), (2, b"b"), instances=[{}, {}])[1] == 400
    assert reply((2, b"a"), (1, b"b"), instances=[{}, {}])[1] == 500


def test_an_error_that_is_not_utf8_can_be_written():
    assert reply((1, b"\xff"))[0] == '{"error_msg":"\ufffd"}'.encode()
    assert write_failure(ExecutionFailed("no")) == b'{"error_msg":"no"}'


def test_a_reply_that_contradicts_itself_is_our_fault():
    with pytest.raises(InternalError, match="2 errors came back for 3 instances"):
        reply((1, b"a"), (1, b"b"), instances=[{}, {}, {}])
