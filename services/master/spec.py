"""(pure) Reads which servable a serialized PredictRequest asks for, and nothing else.

Tensors are stepped over, never copied.
"""

from functools import lru_cache
from typing import NamedTuple

from shared.errors import InvalidRequest
from shared.servable import request_text
from shared.wire.protobuf_walk import LENGTH, VARINT, next_field, read_varint

# Of PredictRequest: field number and wire type LENGTH, in one byte.
_SPEC_TAG, _INSTANCES_TAG = 0x0A, 0x12
# Clients name the same few again and again; what is longer is not worth keeping.
_KEPT_BYTES, _KEPT_SPECS = 256, 1024


class Spec(NamedTuple):
    """Which servable, method and version a request names, or (version 0) which label.

    Without either the master chooses: by the labels' weights, or the newest.
    """

    servable: str = ""
    method: str = ""
    version: int = 0
    label: str = ""

    @property
    def text(self) -> str:
        """What it asks for in the original's words, a space at the end included."""
        named = f"label({self.label}) " if self.label else ""
        return request_text(self.servable, self.method, self.version) + named


def read_spec(message: bytes) -> Spec:
    """The servable_spec of a serialized PredictRequest.

    Raises InvalidRequest when the bytes are no PredictRequest.
    """
    try:
        named = _find_spec(message)
        return _read_kept(named) if len(named) <= _KEPT_BYTES else _read_spec(named)
    except (IndexError, ValueError):
        raise InvalidRequest("the request is not a valid PredictRequest message") from None


def _find_spec(message: bytes) -> bytes:
    """The spec's bytes; several specs one after another, which protobuf reads as one."""
    named = b""
    at, end = 0, len(message)
    while at < end:
        tag = message[at]
        if tag not in (_SPEC_TAG, _INSTANCES_TAG):
            at = next_field(message, at, end)[-1]
            continue
        size, start = read_varint(message, at + 1)
        at = start + size
        if at > end:
            raise ValueError(at)
        if tag == _SPEC_TAG:
            named += message[start:at]
    return named


def _read_spec(named: bytes) -> Spec:
    servable, method, version, _ = Spec()
    at, end = 0, len(named)
    while at < end:
        field, kind, start, at = next_field(named, at, end)
        if field == 1 and kind == LENGTH:
            servable = named[start:at].decode()
        elif field == 2 and kind == LENGTH:
            method = named[start:at].decode()
        elif field == 3 and kind == VARINT:
            version, _ = read_varint(named, start)
    return Spec(servable, method, version)


_read_kept = lru_cache(_KEPT_SPECS)(_read_spec)
