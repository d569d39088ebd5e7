"""Reads large requests and replies of clients without copying their tensors.

protobuf's own parser copies each ``bytes`` field twice: into the message, and out
of it. Here the large ones stay where they came, and protobuf reads the rest.
"""

from collections.abc import Mapping
from typing import NamedTuple

from protos.ms_service import ms_service_pb2 as pb
from shared.wire.protobuf_walk import LENGTH, next_field

# Field numbers of ms_service.proto.
_SPEC, _INSTANCES = 1, 2
_REPLY_INSTANCES, _REPLY_ERRORS = 3, 4
_ITEMS, _OUTPUT_BUFFERS = 1, 2
_KEY, _VALUE = 1, 2
_DATA, _SHM_DATA = 3, 5
_LARGE_BYTES = 1024


class CarriedInstance(NamedTuple):
    """An instance of a request: its tensors, and the data of those whose data was left out."""

    items: Mapping[str, pb.Tensor]
    data: Mapping[str, memoryview]
    names_shared_memory: bool


def walk_predict(message: bytes) -> tuple[pb.ServableSpec, list[CarriedInstance]]:
    """Servable spec and instances of a serialized PredictRequest.

    Raises DecodeError, IndexError or ValueError when the bytes are none.
    """
    spec = pb.ServableSpec()
    instances: list[CarriedInstance] = []
    at, end = 0, len(message)
    while at < end:
        number, kind, start, at = next_field(message, at, end)
        if number == _SPEC and kind == LENGTH:
            spec.MergeFromString(message[start:at])
        elif number == _INSTANCES and kind == LENGTH:
            instances.append(_instance(message, start, at))
    return spec, instances


def walk_reply(message: bytes) -> tuple[list[CarriedInstance], list[pb.ErrorMsg]]:
    """Instances and errors of a serialized PredictReply.

    Raises DecodeError, IndexError or ValueError when the bytes are none.
    """
    instances: list[CarriedInstance] = []
    errors: list[pb.ErrorMsg] = []
    at, end = 0, len(message)
    while at < end:
        number, kind, start, at = next_field(message, at, end)
        if number == _REPLY_INSTANCES and kind == LENGTH:
            instances.append(_instance(message, start, at))
        elif number == _REPLY_ERRORS and kind == LENGTH:
            errors.append(pb.ErrorMsg.FromString(message[start:at]))
    return instances, errors


def _instance(message: bytes, at: int, end: int) -> CarriedInstance:
    items: dict[str, pb.Tensor] = {}
    data: dict[str, memoryview] = {}
    names_shared_memory = False
    while at < end:
        number, kind, start, at = next_field(message, at, end)
        if number == _ITEMS and kind == LENGTH:
            name, tensor, carried = _item(message, start, at)
            items[name] = tensor
            data.pop(name, None)
            if carried is not None:
                data[name] = carried
        elif number == _OUTPUT_BUFFERS and kind == LENGTH:
            names_shared_memory = True
    return CarriedInstance(items, data, names_shared_memory)


def _item(message: bytes, at: int, end: int) -> tuple[str, pb.Tensor, memoryview | None]:
    """An entry of the map of inputs."""
    name, tensor = "", pb.Tensor()
    carried: memoryview | None = None
    while at < end:
        number, kind, start, at = next_field(message, at, end)
        if number == _KEY and kind == LENGTH:
            name = message[start:at].decode()
        elif number == _VALUE and kind == LENGTH:
            carried = _tensor(message, start, at, tensor, carried)
    return name, tensor, carried


def _tensor(
    message: bytes, at: int, end: int, tensor: pb.Tensor, carried: memoryview | None
) -> memoryview | None:
    """Merge a tensor into ``tensor``, all but large data, which is given back as a view."""
    rest: list[bytes] = []
    while at < end:
        begin = at
        number, kind, start, at = next_field(message, at, end)
        if number == _DATA and kind == LENGTH and at - start >= _LARGE_BYTES:
            carried = memoryview(message)[start:at]
            continue
        if number in (_DATA, _SHM_DATA):
            # They exclude one another: the last one counts.
            carried = None
        rest.append(message[begin:at])
    tensor.MergeFromString(b"".join(rest))
    return carried
