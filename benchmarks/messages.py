"""(pure) The bytes of a request, and what tells that an answer is right."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.works import Rows, Work
from protos.ms_service import ms_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Call:
    """A request as it travels, without gRPC's length prefix."""

    path: str
    body: bytes
    is_right: Callable[[bytes], bool]
    content_type: str = "application/grpc"

    @property
    def is_grpc(self) -> bool:
        return self.content_type == "application/grpc"


def ms_service(work: Work, servable: str, method: str) -> Call:
    """A PredictRequest of MindSpore Serving's protocol."""
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name=servable, method_name=method))
    for row in work.request():
        tensor = request.instances.add().items["x"]
        tensor.dtype = pb.MS_FLOAT32
        tensor.shape.dims.extend(row.shape)
        tensor.data = row.tobytes()

    def is_right(answer: bytes) -> bool:
        reply = pb.PredictReply.FromString(answer)
        rows = [each.items["y"].data for each in reply.instances]
        return not reply.error_msg and work.is_answer(_packed(b"".join(rows)))

    return Call("/mindspore.serving.proto.MSService/Predict", request.SerializeToString(), is_right)


def open_inference(work: Work, model: str) -> Call:
    """A ModelInferRequest of the Open Inference Protocol, tensors as raw bytes."""
    rows = work.request()
    tensor = _field(1, b"x") + _field(2, b"FP32") + _field(3, b"".join(map(_varint, rows.shape)))
    body = _field(1, model.encode()) + _field(5, tensor) + _field(7, rows.tobytes())
    length = work.answer().nbytes  # raw contents are the last field

    return Call(
        "/inference.GRPCInferenceService/ModelInfer", body,
        lambda answer: work.is_answer(_packed(answer[-length:])),
    )  # fmt: skip


def raw_http(work: Work, path: str) -> Call:
    """The tensor's bytes as the body of a POST."""
    return Call(
        path, work.request().tobytes(), lambda answer: work.is_answer(_packed(answer)),
        "application/octet-stream",
    )  # fmt: skip


def json_http(work: Work, path: str) -> Call:
    """``{"x": rows}`` as lists of numbers, or packed into base64 when they are many."""
    rows = work.request()
    content = base64.b64encode(rows.tobytes()).decode() if work.is_large else rows.tolist()

    def is_right(answer: bytes) -> bool:
        found = json.loads(answer)
        content = found["y"] if isinstance(found, dict) else found
        return work.is_answer(_numbers(content))

    return Call(path, json.dumps({"x": content}).encode(), is_right, "application/json")


def rest_instances(work: Work, path: str) -> Call:
    """MindSpore Serving's JSON: an instance for each row, in base64 where rows are large."""
    rows = work.request()
    values = [
        {"b64": base64.b64encode(row.tobytes()).decode(), "type": "float32", "shape": row.shape}
        if work.is_large
        else row.tolist()
        for row in rows
    ]
    body = json.dumps({"instances": [{"x": value} for value in values]}).encode()

    def is_right(answer: bytes) -> bool:
        instances = json.loads(answer).get("instances", ())
        return work.is_answer(_numbers([each.get("y", []) for each in instances]))

    return Call(path, body, is_right, "application/json")


def _packed(numbers: bytes) -> Rows:
    if len(numbers) % 4:
        return np.empty(0, np.float32)
    return np.frombuffer(numbers, np.float32)


def _numbers(content: str | list[list[float]]) -> Rows:
    if isinstance(content, str):
        return _packed(base64.b64decode(content))
    return np.asarray(content, np.float32).ravel()


def _varint(number: int) -> bytes:
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protobuf message."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content
