"""Arrays between our own services: protobuf and back."""

from collections.abc import Iterable
from typing import cast

import numpy as np

from protos.serving.v1 import tensor_pb2
from shared.arena import Placed
from shared.errors import InvalidRequest
from shared.tensors import Array, ElementType, dtype_of


def write_tensor(array: Array | Placed) -> tensor_pb2.Tensor:
    """An array with its bytes, or where it lies in the call's region."""
    if isinstance(array, Placed):
        return tensor_pb2.Tensor(
            element_type=_kind(np.dtype(array.dtype)), dims=array.dims, offset=array.offset
        )
    return tensor_pb2.Tensor(
        element_type=_kind(array.dtype), dims=array.shape, data=array.tobytes()
    )


def _kind(dtype: np.dtype[np.generic]) -> tensor_pb2.ElementType:
    return cast("tensor_pb2.ElementType", int(ElementType.of(dtype)))


def read_tensors(tensors: Iterable[tensor_pb2.Tensor]) -> list[Array]:
    """Read-only arrays; raises InvalidRequest when bytes and dims disagree."""
    try:
        return [
            np.frombuffer(t.data, dtype_of(t.element_type)).reshape(tuple(t.dims)) for t in tensors
        ]
    except (ValueError, KeyError) as failure:
        raise InvalidRequest(f"a tensor's bytes do not fit its dims: {failure}") from failure


def read_placed(tensors: Iterable[tensor_pb2.Tensor]) -> list[Placed]:
    """Where arrays lie; raises InvalidRequest for an element type that has no array."""
    try:
        return [Placed(t.offset, dtype_of(t.element_type).name, tuple(t.dims)) for t in tensors]
    except (ValueError, KeyError) as failure:
        raise InvalidRequest(f"a tensor of no known type: {failure}") from failure
