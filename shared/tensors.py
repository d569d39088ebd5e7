"""Element types, shapes, and the checks that keep wrong arrays from a model."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from shared.errors import InvalidRequest

Array = np.ndarray[tuple[int, ...], np.dtype[np.generic]]
# What travels between stages: an array, text or raw bytes.
Value = Array | str | bytes

ANY_SIZE = -1


class ElementType(enum.IntEnum):
    """Numbered like ``DataType`` of the public protocol."""

    BOOL = 1
    INT8 = 2
    UINT8 = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    UINT64 = 9
    FLOAT16 = 10
    FLOAT32 = 11
    FLOAT64 = 12
    STRING = 13
    BYTES = 14

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The NumPy type; text and bytes have none and raise KeyError."""
        return _DTYPES[self]

    @classmethod
    def of(cls, dtype: np.dtype[np.generic]) -> "ElementType":
        """The element type of a NumPy dtype; raises ValueError for one that has none."""
        try:
            return _ELEMENT_TYPES[dtype.newbyteorder("=")]
        except KeyError:
            raise ValueError(f"dtype {dtype} cannot be served") from None


_DTYPES: dict[ElementType, np.dtype[np.generic]] = {
    kind: np.dtype(kind.name.lower())
    for kind in ElementType
    if kind not in (ElementType.STRING, ElementType.BYTES)
}
_ELEMENT_TYPES = {dtype: kind for kind, dtype in _DTYPES.items()}


def dtype_of(number: int) -> np.dtype[np.generic]:
    """The NumPy type of an element type's number; raises KeyError for one that has none."""
    return _DTYPES[cast("ElementType", number)]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What a model takes or gives in one place: name, dtype, dims (-1: any size)."""

    name: str
    element_type: ElementType
    dims: tuple[int, ...]

    def without_batch_dim(self) -> "TensorSpec":
        """The spec of one instance of this tensor."""
        return TensorSpec(self.name, self.element_type, self.dims[1:])

    def __str__(self) -> str:
        return f"{self.element_type.name.lower()}{shape_text(self.dims)}"


def shape_text(dims: Sequence[int]) -> str:
    """Dims as people read them: ``[?, 64]`` for (-1, 64)."""
    return "[" + ", ".join("?" if dim == ANY_SIZE else str(dim) for dim in dims) + "]"


def dims_match(spec: Sequence[int], actual: Sequence[int]) -> bool:
    """Whether ``actual`` dims fit a spec whose -1 dims may be any size."""
    if spec == actual:
        return True
    return len(spec) == len(actual) and all(
        want in (ANY_SIZE, have) for want, have in zip(spec, actual, strict=True)
    )


def check_value(spec: TensorSpec, value: Value, where: str) -> Array:
    """The value as the array that ``spec`` allows.

    Raises InvalidRequest that begins with ``where`` and names the input, what was expected
    and what came.
    """
    # A row of a vector is no array for NumPy, but fits where a scalar is expected.
    if isinstance(value, str | bytes):
        got = "text" if isinstance(value, str) else "bytes"
        raise InvalidRequest(f"{where}input '{spec.name}' expected {spec}, got {got}")
    if value.dtype != spec.element_type.dtype or not dims_match(spec.dims, value.shape):
        raise InvalidRequest(
            f"{where}input '{spec.name}' expected {spec},"
            f" got {value.dtype.name}{shape_text(value.shape)}"
        )
    return value
