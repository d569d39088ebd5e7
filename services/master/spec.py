"""(pure) Reads which servable a serialized PredictRequest asks for, and nothing else.

The walk follows https://protobuf.dev/programming-guides/encoding/; tensors are
stepped over, never copied.
"""

from dataclasses import dataclass

from shared.errors import InvalidRequest

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_UINT64 = (1 << 64) - 1
_MAX_FIELD = (1 << 29) - 1


@dataclass(frozen=True, slots=True)
class Spec:
    """Which servable, method and version a request names; version 0 is the newest."""

    servable: str = ""
    method: str = ""
    version: int = 0


def read_spec(message: bytes) -> Spec:
    """The servable_spec of a serialized PredictRequest.

    Raises InvalidRequest when the bytes are no PredictRequest.
    """
    try:
        return _read_request(message)
    except (IndexError, ValueError):
        raise InvalidRequest("the request is not a valid PredictRequest message") from None


def _read_request(message: bytes) -> Spec:
    spec = Spec()
    at, end = 0, len(message)
    while at < end:
        field, kind, at = _tag(message, at)
        start, at = _step(message, at, end, kind)
        if field == 1 and kind == _LENGTH:
            spec = _read_servable_spec(message, start, at, spec)
    return spec


def _read_servable_spec(message: bytes, at: int, end: int, before: Spec) -> Spec:
    """A later occurrence of the field adds to an earlier one, as protobuf merges messages."""
    servable, method, version = before.servable, before.method, before.version
    while at < end:
        field, kind, at = _tag(message, at)
        start, at = _step(message, at, end, kind)
        if field == 1 and kind == _LENGTH:
            servable = message[start:at].decode()
        elif field == 2 and kind == _LENGTH:
            method = message[start:at].decode()
        elif field == 3 and kind == _VARINT:
            version, _ = _varint(message, start)
    return Spec(servable, method, version)


def _tag(message: bytes, at: int) -> tuple[int, int, int]:
    """Field number, wire type, and where the field's content begins."""
    tag, at = _varint(message, at)
    field = tag >> 3
    if not 1 <= field <= _MAX_FIELD:
        raise ValueError(field)
    return field, tag & 7, at


def _step(message: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Where the content's bytes start and end; they must lie before ``end``."""
    if kind == _VARINT:
        start, (_, at) = at, _varint(message, at)
    elif kind == _LENGTH:
        size, start = _varint(message, at)
        at = start + size
    elif kind in (_FIXED32, _FIXED64):
        start, at = at, at + (4 if kind == _FIXED32 else 8)
    else:
        raise ValueError(kind)
    if at > end:
        raise ValueError(at)
    return start, at


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """A number and where the next byte is; at most ten bytes."""
    byte = message[at]
    if byte < 0x80:
        return byte, at + 1
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & _UINT64, at
    raise ValueError(at)
