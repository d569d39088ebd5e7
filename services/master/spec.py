"""(pure) Reads which servable a serialized PredictRequest asks for, and nothing else.

Tensors are stepped over, never copied.
"""

from dataclasses import dataclass

from shared.errors import InvalidRequest
from shared.wire.protobuf_walk import LENGTH, VARINT, next_field, read_varint


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
        field, kind, start, at = next_field(message, at, end)
        if field == 1 and kind == LENGTH:
            spec = _read_servable_spec(message, start, at, spec)
    return spec


def _read_servable_spec(message: bytes, at: int, end: int, before: Spec) -> Spec:
    """A later occurrence of the field adds to an earlier one, as protobuf merges messages."""
    servable, method, version = before.servable, before.method, before.version
    while at < end:
        field, kind, start, at = next_field(message, at, end)
        if field == 1 and kind == LENGTH:
            servable = message[start:at].decode()
        elif field == 2 and kind == LENGTH:
            method = message[start:at].decode()
        elif field == 3 and kind == VARINT:
            version, _ = read_varint(message, start)
    return Spec(servable, method, version)
