"""The caller's side of ``MSService.Predict``, for services that call on behalf of others."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from protos.ms_service import ms_service_pb2 as pb
from shared.errors import ExecutionFailed, InternalError, InvalidRequest, ServingError
from shared.tensors import ElementType, Value
from shared.wire.predict_codec import write_value
from shared.wire.predict_walk import CarriedInstance, walk_reply

_INVALID_INPUTS = 2


class Reply(NamedTuple):
    """What came back: outputs by name, or what went wrong, for each instance."""

    instances: Sequence[Mapping[str, Value] | ServingError]
    failure: ServingError | None = None
    """The request failed as a whole; there are no instances."""


def write_request(
    servable: str, method: str, version: int, instances: Sequence[Mapping[str, Value]]
) -> bytes:
    """A serialized PredictRequest.

    Raises ValueError for an array of a dtype that has no number.
    """
    spec = pb.ServableSpec(name=servable, method_name=method, version_number=version)
    request = pb.PredictRequest(servable_spec=spec)
    for instance in instances:
        items = request.instances.add().items
        for name, value in instance.items():
            write_value(value, items[name])
    return request.SerializeToString()


def read_reply(message: bytes) -> Reply:
    """A serialized PredictReply; arrays are read-only views of ``message``.

    Raises InternalError for a reply that contradicts itself.
    """
    instances, errors = walk_reply(message)
    if len(errors) == 1 and len(instances) != 1:
        return Reply((), _failure(errors[0]))
    if errors and len(errors) != len(instances):
        raise InternalError(f"{len(errors)} errors came back for {len(instances)} instances")
    return Reply(
        [
            _failure(errors[at]) if errors and errors[at].error_code else _values(instance)
            for at, instance in enumerate(instances)
        ]
    )


def _failure(error: pb.ErrorMsg) -> ServingError:
    text = error.error_msg.decode(errors="replace")
    return (InvalidRequest if error.error_code == _INVALID_INPUTS else ExecutionFailed)(text)


def _values(instance: CarriedInstance) -> Mapping[str, Value]:
    return {
        name: _value(tensor, instance.data.get(name)) for name, tensor in instance.items.items()
    }


def _value(tensor: pb.Tensor, carried: memoryview | None) -> Value:
    if tensor.dtype == pb.MS_STRING:
        return b"".join(tensor.bytes_val).decode(errors="replace")
    if tensor.dtype == pb.MS_BYTES:
        return b"".join(tensor.bytes_val)
    dtype = ElementType(int(tensor.dtype)).dtype
    data = tensor.data if carried is None else carried
    return np.ndarray(tuple(tensor.shape.dims), dtype, data)
