"""Python values to protocol messages and back, for both clients."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from protos.ms_service import ms_service_pb2 as pb
from shared.tensors import Array, ElementType
from shared.wire.predict_codec import write_value
from shared.wire.status import ERROR_NAME_KEY

Instances = Mapping[str, Any] | Sequence[Mapping[str, Any]]
# One dict per instance, or one {"error": text} for the request as a whole.
Result = list[dict[str, Any]] | dict[str, Any]


class ServingRequestError(RuntimeError):
    """The server refused the request, or some of its instances failed.

    errors: one text per instance in request order, None where the instance succeeded;
    for a request that failed as a whole, the same text for each.
    results: what ``infer`` would have returned.
    """

    def __init__(self, errors: Sequence[str | None], results: Result) -> None:
        self.errors = tuple(errors)
        self.results = results
        if isinstance(results, dict):
            text = str(results["error"])
        else:
            failed = [f"instance {n}: {each}" for n, each in enumerate(errors) if each is not None]
            text = "; ".join(failed)
        super().__init__(text)


def encode_request(spec: pb.ServableSpec, instances: Instances) -> pb.PredictRequest:
    """A request for one instance (a dict) or several (list or tuple of dicts).

    Raises RuntimeError that names what cannot be sent.
    """
    listed = instances if isinstance(instances, tuple | list) else (instances,)
    request = pb.PredictRequest(servable_spec=spec)
    for instance in listed:
        if not isinstance(instance, dict):
            raise RuntimeError("instance should be a map")
        items = request.instances.add().items
        for name, value in instance.items():
            if not isinstance(name, str):
                raise RuntimeError(f"Parameter 'key' should be str, but actually {type(name)}")
            encode_value(value, items[name])
    return request


def encode_value(value: object, tensor: pb.Tensor) -> None:
    """Write ``value`` into ``tensor``; a Python number becomes an array of shape (1,)."""
    match value:
        case str() | bytes():
            write_value(value, tensor)
        case np.ndarray() | np.number():
            _encode_array(np.asarray(value), tensor)
        case bool():
            _encode_array(np.array([value], np.bool_), tensor)
        case int():
            try:
                array = np.array([value], np.int64)
            except OverflowError:
                raise RuntimeError(f"int {value} does not fit in int64") from None
            _encode_array(array, tensor)
        case float():
            _encode_array(np.array([value], np.float64), tensor)
        case _:
            raise RuntimeError(f"Not support value type {type(value)}")


def _encode_array(array: Array, tensor: pb.Tensor) -> None:
    try:
        write_value(array, tensor)
    except ValueError:
        raise RuntimeError(f"Unknown data type {array.dtype.name}") from None


def decode_value(tensor: pb.Tensor) -> Any:
    """An array (read-only, 0-d when there are no dims), text or bytes; lists of those two.

    Raises RuntimeError for a tensor that contradicts itself.
    """
    if tensor.dtype in (pb.MS_STRING, pb.MS_BYTES):
        values: list[Any] = list(tensor.bytes_val)
        if tensor.dtype == pb.MS_STRING:
            values = [each.decode() for each in values]
        return values[0] if len(values) == 1 else values
    try:
        dtype = ElementType(tensor.dtype).dtype.newbyteorder("<")
    except (KeyError, ValueError):
        raise RuntimeError(f"Unknown data type {tensor.dtype}") from None
    dims = tuple(tensor.shape.dims)
    if min(dims, default=0) < 0 or len(tensor.data) != math.prod(dims) * dtype.itemsize:
        raise RuntimeError(f"A reply tensor of shape {list(dims)} has {len(tensor.data)} bytes")
    return np.frombuffer(tensor.data, dtype).reshape(dims)


def decode_reply(reply: pb.PredictReply, *, instances_count: int) -> Result:
    """Outputs per instance, ``{"error": text}`` in the place of what failed.

    One error means that the whole request failed.
    """
    errors = [_error_text(each) for each in reply.error_msg]
    if len(errors) == 1 and (errors[0] is not None or not reply.instances):
        return {"error": errors[0] or "The server gave an error without a text"}
    if len(errors) not in (0, instances_count, 1):
        raise RuntimeError(
            f"error_msg count {len(errors)} is not 0, 1 or the instances count {instances_count}"
        )
    if len(reply.instances) != instances_count:
        raise RuntimeError(
            f"The reply has {len(reply.instances)} instances, the request had {instances_count}"
        )
    errors = errors or [None] * instances_count
    return [
        # By name: a map on the wire has no order, and what is printed should not change.
        {name: decode_value(instance.items[name]) for name in sorted(instance.items)}
        if error is None
        else {"error": error}
        for instance, error in zip(reply.instances, errors, strict=True)
    ]


def _error_text(error: pb.ErrorMsg) -> str | None:
    return error.error_msg.decode(errors="replace") if error.error_code else None


def raise_failures(reply: pb.PredictReply, results: Result, *, instances_count: int) -> None:
    """Raise ServingRequestError when the request or any of its instances failed."""
    if isinstance(results, dict):
        raise ServingRequestError([results["error"]] * max(instances_count, 1), results)
    errors = [_error_text(each) for each in reply.error_msg]
    if any(each is not None for each in errors):
        raise ServingRequestError(errors, results)


def is_refusal(failure: grpc.RpcError) -> bool:
    """Whether a server of ours said no, naming its error; the connection is fine then."""
    metadata: Any = failure.trailing_metadata()
    return any(key == ERROR_NAME_KEY for key, _ in metadata or ())


def rpc_failure_text(failure: grpc.RpcError) -> str:
    """The original's text; it begins with the code as a tuple: ``(14, 'unavailable')``."""
    code, details = failure.code(), failure.details()
    return f"Grpc Error, {code.value}, {details}, {failure}"
