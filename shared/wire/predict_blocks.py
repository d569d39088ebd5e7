"""(pure) Serialized replies of arrays, put together from blocks.

Of an answer, only the arrays' bytes are its own: all that stands around them depends on
names, dtypes and shapes, and is made once. An array is copied once, into the reply.
"""

import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import cast

import numpy as np

from protos.ms_service import ms_service_pb2 as pb
from shared.tensors import Array, ElementType

# Tags (number and wire type "length") of ms_service.proto.
_REPLY_INSTANCES, _INSTANCE_ITEMS = b"\x1a", b"\x0a"
_KEY, _VALUE, _TENSOR_DATA = b"\x0a", b"\x12", b"\x1a"
# Below this, a copy in between costs less than an array that is read as a buffer.
_SMALL_BYTES = 4096
_BIG_ENDIAN = sys.byteorder == "big"


def write_arrays(
    servable: str,
    method: str,
    version: int,
    names: tuple[str, ...],
    instances: Sequence[tuple[Array, ...]],
) -> bytes:
    """A PredictReply without errors; ``names`` are those of each instance's arrays.

    Raises ValueError for an array of a dtype that has no number.
    """
    blocks: list[bytes | memoryview] = [_spec_block(servable, method, version)]
    for arrays in instances:
        kinds = tuple([(array.dtype, array.shape) for array in arrays])
        for head, array in zip(_heads(names, kinds), arrays, strict=True):
            blocks += (head, _content(array))
    return b"".join(blocks)


def _content(array: Array) -> bytes | memoryview:
    """An array's bytes in the order of the wire: little-endian, C order."""
    if _BIG_ENDIAN or not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.tobytes() if array.nbytes < _SMALL_BYTES else np.ascontiguousarray(array).data


@lru_cache(maxsize=1024)
def _spec_block(servable: str, method: str, version: int) -> bytes:
    spec = pb.ServableSpec(name=servable, method_name=method, version_number=version)
    return pb.PredictReply(servable_spec=spec).SerializeToString()


@lru_cache(maxsize=4096)
def _heads(
    names: tuple[str, ...], kinds: tuple[tuple[np.dtype[np.generic], tuple[int, ...]], ...]
) -> tuple[bytes, ...]:
    """For one instance, what stands before the bytes of each of its arrays."""
    heads: list[bytes] = []
    size = 0
    for name, (dtype, shape) in zip(names, kinds, strict=True):
        data_size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        number = cast("pb.DataType", int(ElementType.of(dtype)))
        tensor = pb.Tensor(dtype=number, shape=pb.TensorShape(dims=shape))
        fields = tensor.SerializeToString() + _TENSOR_DATA + _varint(data_size)
        value = _VALUE + _varint(len(fields) + data_size) + fields
        entry = _KEY + _length_and(name.encode()) + value
        heads.append(_INSTANCE_ITEMS + _varint(len(entry) + data_size) + entry)
        size += len(heads[-1]) + data_size
    heads[0] = _REPLY_INSTANCES + _varint(size) + heads[0]
    return tuple(heads)


def _length_and(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """A protobuf base 128 varint."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
