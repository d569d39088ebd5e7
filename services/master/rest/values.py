"""(pure) JSON values and tensors.

Whole numbers are int32 and reals float32, as in the original, and the words of each fault are
the original's. Lists are looked at level by level, never element by element in Python.
"""

import base64
from array import array
from collections.abc import Callable, Mapping
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from services.master.rest.packed import read_packed, refuse_shape_of_text
from shared.errors import InvalidRequest
from shared.tensors import Array, Value

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_MAX_DIMS = 32
_DTYPES: Mapping[type, Any] = {int: np.int32, float: np.float32, bool: np.bool_}


def read_value(value: Any) -> Value:
    """The tensor of a JSON value: an array (int32, float32 or bool), text or bytes.

    Raises InvalidRequest in the words of the original's table.
    """
    if isinstance(value, list):
        return _read_list(value)
    if isinstance(value, dict):
        return read_packed(value)
    if isinstance(value, str):
        return value
    if value is None:
        raise InvalidRequest("json value is null, it is not supported")
    return _array([value], type(value)).reshape(())


def write_value(value: Value) -> Any:
    """What orjson writes as a tensor's JSON; NaN and infinities become null."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if isinstance(value, str) or value.shape:
        return value
    return value[()]


def _read_list(value: list[Any]) -> Value:
    dims, leaves = _flatten(value)
    kinds = set(map(type, leaves))
    first = type(leaves[0])
    if first not in (str, dict) and first not in _DTYPES:
        raise InvalidRequest("json array, data should be number, bool, string or bytes")
    if len(kinds) > 1:
        raise InvalidRequest("json array, elements type is not equal")
    if first in _DTYPES:
        return _array(leaves, first).reshape(dims)
    if len(leaves) > 1:
        raise InvalidRequest("json array, string or bytes type only support one item")
    only = leaves[0] if first is str else read_packed(leaves[0])
    if isinstance(only, np.ndarray):
        raise InvalidRequest("json array, data should be number, bool, string or bytes")
    refuse_shape_of_text(dims)
    text: str | bytes = only
    return text


def _flatten(value: list[Any]) -> tuple[list[int], list[Any]]:
    """The shape that the first elements have, and every element; lists must be rectangular."""
    dims: list[int] = []
    level = value
    while True:
        dims.append(len(level) // prod(dims))
        if not level:
            raise InvalidRequest("json array, shape is empty")
        if not isinstance(level[0], list):
            return dims, level
        if len(dims) == _MAX_DIMS:
            raise InvalidRequest(f"invalid json array: expected at most {_MAX_DIMS} dims, got more")
        if set(map(type, level)) != {list}:
            raise InvalidRequest("invalid json array: json type is not array")
        size = len(level[0])
        if not size:
            raise InvalidRequest("json array, shape is empty")
        odd = next((len(each) for each in level if len(each) != size), size)
        if odd != size:
            raise InvalidRequest(
                f"invalid json array: json size is {odd}, the dim {len(dims)} expected to be {size}"
            )
        level = list(chain.from_iterable(level))


def _array(leaves: list[Any], kind: type) -> Array:
    """One-dimensional; raises InvalidRequest for a number that its dtype cannot hold."""
    return _READERS[kind](leaves)


def _read_ints(piece: list[int]) -> Array:
    try:
        numbers = np.frombuffer(array("q", piece), np.int64)
        if numbers.min() >= _LOWEST and numbers.max() <= _HIGHEST:
            return numbers.astype(np.int32)
    except OverflowError:
        pass
    odd = next(each for each in piece if not _LOWEST <= each <= _HIGHEST)
    raise InvalidRequest(
        f"json number {odd} is out of range of int32, expected [{_LOWEST}, {_HIGHEST}];"
        " other types can be given in base64 with 'type'"
    )


def _read_reals(piece: list[float]) -> Array:
    # Through array, which reads a list of floats faster than NumPy does.
    numbers = np.frombuffer(array("d", piece), np.float64)
    with np.errstate(over="ignore"):
        narrowed: Array = numbers.astype(np.float32)
    finite = np.isfinite(narrowed)
    if not finite.all():
        raise InvalidRequest(
            f"json number {piece[int(finite.argmin())]} is out of range of float32;"
            " other types can be given in base64 with 'type'"
        )
    return narrowed


def _read_bools(piece: list[bool]) -> Array:
    return np.fromiter(piece, np.bool_, len(piece))


_READERS: Mapping[type, Callable[[list[Any]], Array]] = {
    int: _read_ints,
    float: _read_reals,
    bool: _read_bools,
}
