"""(pure) gRPC on HTTP/2: requests, answers, timeouts, statuses, metadata.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from shared.wire.http2.grpc_messages import BadMessage
from shared.wire.http2.headers import Headers

_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_LONGEST_TIMEOUT_DIGITS = 8
# And no others: a browser's grpc-web is another protocol.
_CONTENT_TYPES = (b"application/grpc+", b"application/grpc;")
# Characters of a grpc-message that need no percent sign.
_PLAIN = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) != "%")


@dataclass(frozen=True, slots=True)
class Request:
    """The header block that opens a call, read."""

    path: str = ""
    timeout: float | None = None
    """Seconds left for the call when it was written."""
    encoding: bytes = b"identity"
    metadata: Mapping[str, str] = field(default_factory=dict)
    binary: Mapping[str, bytes] = field(default_factory=dict)
    """The metadata whose keys end in ``-bin``."""
    fault: tuple[int, str] | None = None
    """HTTP status and reason when this is no gRPC call."""


@dataclass(frozen=True, slots=True)
class Response:
    """A header block of an answer: the first, or the trailers, or both in one."""

    http_status: int | None = None
    grpc_status: int | None = None
    message: str = ""
    encoding: bytes = b"identity"
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_request(headers: Headers) -> Request:
    """What a client asks for."""
    path, method, content_type, timeout, encoding = "", b"", b"", None, b"identity"
    metadata: dict[str, str] = {}
    binary: dict[str, bytes] = {}
    fault: tuple[int, str] | None = None
    for name, value in headers:
        if name == b":path":
            path = value.decode("ascii", "replace")
        elif name == b":method":
            method = value
        elif name == b"content-type":
            content_type = value
        elif name == b"grpc-timeout":
            timeout = _timeout(value)
            fault = fault or ((400, "a malformed grpc-timeout") if timeout is None else None)
        elif name == b"grpc-encoding":
            encoding = value
        elif not name.startswith(b":"):
            fault = _keep(name, value, metadata, binary) or fault
    if method != b"POST":
        fault = (405, "gRPC calls are POST")
    elif content_type != b"application/grpc" and not content_type.startswith(_CONTENT_TYPES):
        fault = (415, "gRPC calls have content-type application/grpc")
    return Request(path, timeout, encoding, metadata, binary, fault)


def _keep(
    name: bytes, value: bytes, metadata: dict[str, str], binary: dict[str, bytes]
) -> tuple[int, str] | None:
    """Put a caller's own header where it belongs; the fault when it cannot be read."""
    key = name.decode("ascii", "replace")
    if not name.endswith(b"-bin"):
        metadata[key] = value.decode("utf-8", "replace")
        return None
    try:
        binary[key] = read_binary(value)
    except BadMessage as failure:
        return 400, str(failure)
    return None


def read_response(headers: Headers) -> Response:
    """What a server says."""
    http_status, grpc_status, message, encoding = None, None, "", b"identity"
    metadata: dict[str, str] = {}
    for name, value in headers:
        if name == b":status":
            http_status = _status(value, 0)
        elif name == b"grpc-status":
            grpc_status = _status(value, 2)
        elif name == b"grpc-message":
            message = unquote(value.decode("ascii", "replace"))
        elif name == b"grpc-encoding":
            encoding = value
        elif not name.startswith(b":"):
            metadata[name.decode("ascii", "replace")] = value.decode("utf-8", "replace")
    return Response(http_status, grpc_status, message, encoding, metadata)


def _status(value: bytes, malformed: int) -> int:
    return int(value) if value.isdigit() and len(value) <= 3 else malformed


def _timeout(value: bytes) -> float | None:
    digits, unit = value[:-1], _UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > _LONGEST_TIMEOUT_DIGITS:
        return None
    return int(digits) * unit


def write_timeout(seconds: float) -> bytes:
    """A timeout of at most eight digits, never longer than ``seconds``."""
    microseconds = int(seconds * 1e6)
    if microseconds < 10**_LONGEST_TIMEOUT_DIGITS:
        return b"%du" % microseconds
    milliseconds = microseconds // 1000
    if milliseconds < 10**_LONGEST_TIMEOUT_DIGITS:
        return b"%dm" % milliseconds
    return b"%dS" % min(int(seconds), 10**_LONGEST_TIMEOUT_DIGITS - 1)


def write_message(text: str) -> bytes:
    """A grpc-message: percent-encoded UTF-8."""
    return quote(text, safe=_PLAIN).encode("ascii")


def write_binary(value: bytes) -> bytes:
    """The value of a metadata key that ends in ``-bin``."""
    return base64.b64encode(value).rstrip(b"=")


def write_metadata(metadata: Mapping[str, str | bytes]) -> tuple[tuple[bytes, bytes], ...]:
    """A caller's metadata as headers."""
    return tuple(
        (key.encode("ascii"), write_binary(value) if isinstance(value, bytes) else value.encode())
        for key, value in metadata.items()
    )


def read_binary(value: bytes) -> bytes:
    """The bytes of a metadata value under a key that ends in ``-bin``; of several the last."""
    last = value.rpartition(b",")[2]
    try:
        return base64.b64decode(last + b"=" * (-len(last) % 4), validate=True)
    except (binascii.Error, ValueError) as failure:
        raise BadMessage("binary metadata that is not base64") from failure
