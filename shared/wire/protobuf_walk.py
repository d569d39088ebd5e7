"""(pure) Steps over the fields of a serialized protobuf message without copying them.

Source: https://protobuf.dev/programming-guides/encoding/. A malformed message raises
IndexError or ValueError.
"""

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_UINT64 = (1 << 64) - 1
_MAX_FIELD = (1 << 29) - 1


def next_field(message: bytes, at: int, end: int) -> tuple[int, int, int, int]:
    """Number and wire type of the field at ``at``, and where its content starts and ends."""
    number, kind, at = _tag(message, at)
    start, at = _step(message, at, end, kind)
    return number, kind, start, at


def _tag(message: bytes, at: int) -> tuple[int, int, int]:
    """Field number, wire type, and where the field's content begins."""
    tag, at = read_varint(message, at)
    field = tag >> 3
    if not 1 <= field <= _MAX_FIELD:
        raise ValueError(field)
    return field, tag & 7, at


def _step(message: bytes, at: int, end: int, kind: int) -> tuple[int, int]:
    """Where the content's bytes start and end; they must lie before ``end``."""
    if kind == VARINT:
        start, (_, at) = at, read_varint(message, at)
    elif kind == LENGTH:
        size, start = read_varint(message, at)
        at = start + size
    elif kind in (FIXED32, FIXED64):
        start, at = at, at + (4 if kind == FIXED32 else 8)
    else:
        raise ValueError(kind)
    if at > end:
        raise ValueError(at)
    return start, at


def read_varint(message: bytes, at: int) -> tuple[int, int]:
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
