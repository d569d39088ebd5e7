"""Arrays between our own services: protobuf and back."""

from collections.abc import Iterable

import numpy as np

from protos.serving.v1 import tensor_pb2
from shared.errors import InvalidRequest
from shared.tensors import Array, ElementType


def write_tensor(array: Array) -> tensor_pb2.Tensor:
    """An array with its bytes inline."""
    kind = tensor_pb2.ElementType.Name(ElementType.of(array.dtype))
    return tensor_pb2.Tensor(element_type=kind, dims=array.shape, data=array.tobytes())


def read_tensors(tensors: Iterable[tensor_pb2.Tensor]) -> list[Array]:
    """Read-only arrays; raises InvalidRequest when bytes and dims disagree."""
    try:
        return [
            np.frombuffer(t.data, ElementType(t.element_type).dtype).reshape(tuple(t.dims))
            for t in tensors
        ]
    except (ValueError, KeyError) as failure:
        raise InvalidRequest(f"a tensor's bytes do not fit its dims: {failure}") from failure
