"""Client requests and replies: ``PredictRequest`` and ``PredictReply``.

Checks, their order and their words follow the original's front door, so that
scripts which look for its messages keep working.
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
from google.protobuf.message import DecodeError

from protos.ms_service import ms_service_pb2 as pb
from shared.errors import InvalidRequest, ServingError
from shared.servable import Method, ServableVersion
from shared.tensors import Array, ElementType, Value
from shared.wire.predict_blocks import write_arrays
from shared.wire.predict_walk import CarriedInstance, walk_predict

_FAILED, _INVALID_INPUTS = 1, 2
_NOTHING: Mapping[str, memoryview] = {}
# From here on a walk in Python costs less than protobuf's copies of large tensors.
_WALKED_BYTES = 32 << 10
_TEXT = (ElementType.STRING, ElementType.BYTES)
_DTYPES = {int(kind): kind.dtype for kind in ElementType if kind not in _TEXT}


class PredictMessage:
    """One client request, its tensors not yet looked at."""

    def __init__(
        self,
        servable: str = "",
        method: str = "",
        version: int = 0,
        instances: Sequence[CarriedInstance] = (),
    ) -> None:
        self.servable = servable
        self.method = method
        self.version = version
        self._instances = instances

    def instances(self, method: Method) -> list[tuple[Value, ...]]:
        """The inputs of ``method`` for each instance; arrays are read-only views.

        Raises InvalidRequest that names the input and what is wrong with it; one bad
        instance refuses the request, as in the original.
        """
        if not self._instances:
            raise InvalidRequest(
                f"Instances count is 0, servable {self.servable}, method {self.method}:"
                " expected at least one instance"
            )
        return [self._instance(instance, method) for instance in self._instances]

    def _instance(self, instance: CarriedInstance, method: Method) -> tuple[Value, ...]:
        if instance.names_shared_memory:
            raise InvalidRequest("output_buffers: a request may not name shared memory")
        values: list[Value] = []
        for name in method.input_names:
            if name not in instance.items:
                raise InvalidRequest(
                    f"Cannot find input {name} in instance input ,"
                    f" servable {self.servable}, method {self.method}"
                )
            try:
                values.append(_read_value(instance.items[name], instance.data.get(name)))
            except InvalidRequest as failure:
                raise InvalidRequest(
                    f"Instances input {name} check failed, detail: {failure.message}"
                ) from None
        return tuple(values)


def read_predict(message: bytes) -> PredictMessage:
    """A serialized PredictRequest; raises InvalidRequest when the bytes are none."""
    try:
        if len(message) >= _WALKED_BYTES:
            spec, instances = walk_predict(message)
        else:
            request = pb.PredictRequest.FromString(message)
            spec = request.servable_spec
            instances = [
                CarriedInstance(each.items, _NOTHING, bool(each.output_buffers))
                for each in request.instances
            ]
    except (DecodeError, IndexError, ValueError):
        raise InvalidRequest("the request is not a valid PredictRequest message") from None
    return PredictMessage(spec.name, spec.method_name, spec.version_number, instances)


def _read_value(tensor: pb.Tensor, carried: memoryview | None) -> Value:
    """``carried`` is the tensor's data when it lies outside the tensor."""
    data = tensor.data if carried is None else carried
    # One of a oneof: with data there is no shm_data.
    if not data and tensor.HasField("shm_data"):
        raise InvalidRequest("shm_data: a request may not name shared memory")
    dims = tuple(tensor.shape.dims)
    number = int(tensor.dtype)
    dtype = _DTYPES.get(number)
    if dtype is None and number not in _TEXT:
        raise InvalidRequest(f"Tensor check failed: input data type {number} invalid")
    if dims and min(dims) < 1 and (min(dims) < 0 or 0 in dims[:-1]):
        raise InvalidRequest(f"Tensor check failed: input  shape {list(dims)} invalid")
    if dtype is None:
        return _read_text(tensor, ElementType(number), dims)
    if len(data) != math.prod(dims) * dtype.itemsize:
        raise InvalidRequest(
            f"Tensor check failed: input data size {len(data)} invalid,"
            f" expected {math.prod(dims) * dtype.itemsize} for {dtype.name}{list(dims)}"
        )
    return np.ndarray(dims, dtype, data)


def _read_text(tensor: pb.Tensor, kind: ElementType, dims: tuple[int, ...]) -> str | bytes:
    if len(tensor.bytes_val) != 1:
        raise InvalidRequest(
            "Instance tensor check failed: bytes or string type shape batch size can only be 1,"
            f" but {len(tensor.bytes_val)} values are given"
        )
    if dims not in ((), (1,)):
        raise InvalidRequest(
            "Instance tensor check failed: bytes or string type input  shape can only be (1,) or"
            f" empty, but given shape is {list(dims)}"
        )
    value = tensor.bytes_val[0]
    if kind is ElementType.BYTES:
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as failure:
        raise InvalidRequest(
            f"Instance tensor check failed: text is not UTF-8 at byte {failure.start}"
        ) from None


def write_value(value: Value, tensor: pb.Tensor) -> None:
    """Fill an empty ``tensor``; raises ValueError for an array of a dtype that has no number."""
    tensor.shape.SetInParent()
    if isinstance(value, str):
        tensor.dtype = pb.MS_STRING
        tensor.bytes_val.append(value.encode())
    elif isinstance(value, bytes):
        tensor.dtype = pb.MS_BYTES
        tensor.bytes_val.append(value)
    else:
        tensor.dtype = cast("pb.DataType", int(ElementType.of(value.dtype)))
        tensor.shape.dims.extend(value.shape)
        # The wire is little-endian; tobytes gives C order whatever the strides.
        tensor.data = value.astype(value.dtype.newbyteorder("<"), copy=False).tobytes()


def write_reply(
    what: ServableVersion, method: Method, outcomes: Sequence[tuple[Value, ...] | ServingError]
) -> bytes:
    """A serialized PredictReply.

    When every instance failed with the same words, one error stands for all and
    there are no instances; otherwise a failed instance is empty and each instance
    has an error, code 0 for those that succeeded.
    """
    names = method.output_names
    if names and _are_arrays(outcomes):
        arrays = cast("Sequence[tuple[Array, ...]]", outcomes)
        return write_arrays(what.servable, method.name, what.version, names, arrays)
    reply = pb.PredictReply(servable_spec=_spec(what.servable, method.name, what.version))
    errors = [
        _error(each) if isinstance(each, ServingError) else pb.ErrorMsg() for each in outcomes
    ]
    failed = any(error.error_code for error in errors)
    if failed and all(error == errors[0] for error in errors):
        reply.error_msg.append(errors[0])
        return reply.SerializeToString()
    for outcome in outcomes:
        instance = reply.instances.add()
        if not isinstance(outcome, ServingError):
            for name, value in zip(names, outcome, strict=True):
                write_value(value, instance.items[name])
    if failed:
        reply.error_msg.extend(errors)
    return reply.SerializeToString()


def _are_arrays(outcomes: Sequence[tuple[Value, ...] | ServingError]) -> bool:
    for outcome in outcomes:
        if isinstance(outcome, ServingError):
            return False
        for value in outcome:
            if not isinstance(value, np.ndarray):
                return False
    return True


def write_failure(servable: str, method: str, version: int, failure: ServingError) -> bytes:
    """A serialized PredictReply for a request that failed as a whole."""
    reply = pb.PredictReply(servable_spec=_spec(servable, method, version))
    reply.error_msg.append(_error(failure))
    return reply.SerializeToString()


def _spec(servable: str, method: str, version: int) -> pb.ServableSpec:
    return pb.ServableSpec(name=servable, method_name=method, version_number=version)


def _error(outcome: tuple[Value, ...] | ServingError) -> pb.ErrorMsg:
    if not isinstance(outcome, ServingError):
        return pb.ErrorMsg()
    code = _INVALID_INPUTS if isinstance(outcome, InvalidRequest) else _FAILED
    return pb.ErrorMsg(error_code=code, error_msg=outcome.message.encode())
