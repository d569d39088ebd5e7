"""(pure) Tensors whose bytes stand in JSON: ``{"b64": ..., "type": ..., "shape": ...}``."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from shared.errors import InvalidRequest
from shared.tensors import ElementType, Value, shape_text

_KEYS = frozenset({"b64", "type", "shape"})
_NUMBERS: Mapping[str, ElementType] = {
    kind.name.lower(): kind
    for kind in ElementType
    if kind not in (ElementType.STRING, ElementType.BYTES)
} | {"fp16": ElementType.FLOAT16, "fp32": ElementType.FLOAT32, "fp64": ElementType.FLOAT64}
_TEXTS = {"str": ElementType.STRING, "bytes": ElementType.BYTES}
# NumPy's own limits, so that no shape can be more than an array.
_MAX_DIMS, _MAX_ELEMENTS = 32, 2**31 - 1
_LONGEST_QUOTE = 60


def read_packed(value: Mapping[str, Any]) -> Value:
    """The tensor of a base64 object: an array that is a read-only view, text or bytes.

    Raises InvalidRequest in the words of the original's table.
    """
    if "b64" not in value:
        raise InvalidRequest("'b64' should be specified only one time, but actually 0 times")
    for key in value:
        if key not in _KEYS:
            raise InvalidRequest(f"key is not ['b64','type','shape'], got '{_quoted(key)}'")
    kind = _read_type(value.get("type", "bytes"))
    dims = _read_shape(value.get("shape", ()))
    content = _decode(value["b64"])
    if kind in _TEXTS.values():
        return _read_text(content, kind, dims)
    dtype = kind.dtype
    if len(content) != prod(dims) * dtype.itemsize:
        raise InvalidRequest(
            f"size is not matched, decode base64 size:{len(content)}; Given info:"
            f" type:{value['type']}; type size:{dtype.itemsize}; element nums:{prod(dims)}"
        )
    return np.ndarray(dims, dtype.newbyteorder("<"), content)


def refuse_shape_of_text(dims: Sequence[int]) -> None:
    """Raises InvalidRequest unless text or bytes may have the shape ``dims``: () or (1,)."""
    if tuple(dims) not in ((), (1,)):
        raise InvalidRequest(
            "Instance tensor check failed: bytes or string type input  shape can only be (1,) or"
            f" empty, but given shape is {shape_text(dims)}"
        )


def _read_type(name: Any) -> ElementType:
    if not isinstance(name, str):
        raise InvalidRequest(
            "json object, key is 'type', value should be string type,"
            f" but actually {_json_type(name)}"
        )
    kind = _NUMBERS.get(name) or _TEXTS.get(name)
    if kind is None:
        raise InvalidRequest(
            f"json object, specified type:'{_quoted(name)}' is illegal,"
            f" expected one of {', '.join((*_NUMBERS, *_TEXTS))}"
        )
    return kind


def _read_shape(dims: Any) -> tuple[int, ...]:
    if not isinstance(dims, list | tuple):
        raise InvalidRequest(
            "json object, key is 'shape', value should be array type,"
            f" but actually {_json_type(dims)}"
        )
    for dim in dims:
        if type(dim) is not int or dim < 0:
            raise InvalidRequest(
                "json object, key is 'shape', array value should be unsigned integer,"
                f" but actually {_quoted(str(dim))}"
            )
    elements = prod(dim for dim in dims if dim)
    if 0 in dims[:-1] or len(dims) > _MAX_DIMS or elements > _MAX_ELEMENTS:
        raise InvalidRequest(
            "json object, key is 'shape', invalid shape value"
            f" {_quoted(str(list(dims[: _MAX_DIMS + 1])))}"
        )
    return tuple(dims)


def _decode(text: Any) -> bytes:
    if not isinstance(text, str):
        raise InvalidRequest(
            "get scalar data failed, type is string, but json is not string type,"
            f" key 'b64' is {_json_type(text)}"
        )
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"'{_quoted(text)}' is illegal b64 encode string") from None


def _read_text(content: bytes, kind: ElementType, dims: tuple[int, ...]) -> str | bytes:
    if prod(dims) != 1:
        raise InvalidRequest(
            "json object, only support scalar when data type is string or bytes, please check"
            f" 'type' or 'shape', given shape is {shape_text(dims)}"
        )
    refuse_shape_of_text(dims)
    if kind is ElementType.BYTES:
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as failure:
        raise InvalidRequest(f"text is not UTF-8 at byte {failure.start}") from None


def _quoted(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."


def _json_type(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "object", list: "array", str: "string", bool: "bool"}
    return names.get(type(value), "number")
