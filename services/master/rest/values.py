"""(pure) JSON values and tensors.

Whole numbers are int32 and reals float32, as in the original, and the words of each fault are
the original's. Lists are looked at level by level, never element by element in Python.
"""

import base64
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from math import prod
from typing import Any

import numpy as np

from services.master.rest.packed import read_packed, refuse_shape_of_text
from shared.errors import InvalidRequest
from shared.tensors import Array, Value

_LOWEST, _HIGHEST = -(2**31), 2**31 - 1
_MAX_DIMS = 32
# Between two pieces other threads get their turn, the event loop's among them.
_PIECE = 1 << 16
_KINDS: dict[type, tuple[Any, Any]] = {
    # As it is read, so that nothing is lost before it is checked; as it is sent.
    int: (np.int64, np.int32),
    float: (np.float64, np.float32),
    bool: (np.bool_, np.bool_),
}


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
    kinds = {kind for piece in _pieces(leaves) for kind in set(map(type, piece))}
    first = type(leaves[0])
    if first not in (str, dict) and first not in _KINDS:
        raise InvalidRequest("json array, data should be number, bool, string or bytes")
    if len(kinds) > 1:
        raise InvalidRequest("json array, elements type is not equal")
    if first in _KINDS:
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
        if {kind for piece in _pieces(level) for kind in set(map(type, piece))} != {list}:
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


def _array(leaves: Sequence[Any], kind: type) -> Array:
    """One-dimensional; raises InvalidRequest for a number that its dtype cannot hold."""
    wide, narrow = _KINDS[kind]
    array: Array = np.empty(len(leaves), narrow)
    at = 0
    for piece in _pieces(leaves):
        array[at : at + len(piece)] = _checked(piece, kind, wide, narrow)
        at += len(piece)
    return array


def _checked(piece: Sequence[Any], kind: type, wide: Any, narrow: Any) -> Array:
    if kind is bool:
        return np.fromiter(piece, np.bool_, len(piece))
    if kind is int and not _LOWEST <= min(piece) <= max(piece) <= _HIGHEST:
        odd = next(each for each in piece if not _LOWEST <= each <= _HIGHEST)
        raise InvalidRequest(
            f"json number {odd} is out of range of int32, expected [{_LOWEST}, {_HIGHEST}];"
            " other types can be given in base64 with 'type'"
        )
    numbers = np.fromiter(piece, wide, len(piece))
    with np.errstate(over="ignore"):
        narrowed: Array = numbers.astype(narrow)
    if kind is float and not np.isfinite(narrowed).all():
        odd = piece[int(np.argmin(np.isfinite(narrowed)))]
        raise InvalidRequest(
            f"json number {odd} is out of range of float32;"
            " other types can be given in base64 with 'type'"
        )
    return narrowed


def _pieces(elements: Sequence[Any]) -> Iterator[Sequence[Any]]:
    if len(elements) <= _PIECE:
        yield elements
        return
    some = iter(elements)
    while piece := list(islice(some, _PIECE)):
        yield piece
