"""Reads the servable spec of a PredictRequest and nothing else of it.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.errors import InvalidRequest

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SPEC_FIELD, _NAME_FIELD, _METHOD_FIELD, _VERSION_FIELD = 1, 1, 2, 3
# A longer field cannot be a spec: names have their limits.
_MOST_SPEC_BYTES = 4096
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


@dataclass(frozen=True, slots=True)
class Spec:
    """What a request asks for; version 0 means the newest."""

    servable: str
    method: str
    version: int


def read_spec(request: bytes) -> Spec:
    """The servable spec of a serialized PredictRequest.

    Raises InvalidRequest for bytes that are no protobuf message.
    """
    servable, method, version = b"", b"", 0
    try:
        for number, value in _fields(request):
            if number != _SPEC_FIELD or not isinstance(value, bytes):
                continue
            for inner, content in _fields(value):
                if inner == _NAME_FIELD and isinstance(content, bytes):
                    servable = content
                elif inner == _METHOD_FIELD and isinstance(content, bytes):
                    method = content
                elif inner == _VERSION_FIELD and isinstance(content, int):
                    version = content
        return Spec(servable.decode(), method.decode(), version)
    except (IndexError, ValueError) as failure:
        raise InvalidRequest("the request is not a PredictRequest message") from failure


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes | None]]:
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(message, position)
        else:
            size = _FIXED_SIZES.get(kind, end + 1)
        if position + size > end:
            raise ValueError("a field reaches past the end")
        # Only the spec is copied; tensors are skipped.
        yield number, message[position : position + size] if size < _MOST_SPEC_BYTES else None
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a varint is too long")
