"""(pure) gRPC on HTTP/2: requests, answers, messages, timeouts, statuses.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import base64
import binascii
import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from shared.wire.http2.headers import Headers

PREFIX_BYTES = 5
_UNITS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_LONGEST_TIMEOUT_DIGITS = 8
# And no others: a browser's grpc-web is another protocol.
_CONTENT_TYPES = (b"application/grpc+", b"application/grpc;")
_DEFLATED_PIECE, _INFLATED_PIECE = 64 << 10, 1 << 20
_SMALL_PART = 1024
_ENCODINGS = (b"identity", b"gzip")
# Characters of a grpc-message that need no percent sign.
_PLAIN = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) != "%")


class MessageTooLarge(Exception):
    """A message beyond the limit of this side."""


class BadMessage(Exception):
    """Bytes that are no message."""


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


def message_prefix(message: bytes) -> bytes:
    """The prefix alone, for a message too large to be copied behind it."""
    return b"\x00" + len(message).to_bytes(4, "big")


def frame_message(message: bytes) -> bytes:
    """A message behind its prefix: not compressed, four bytes of length."""
    return b"\x00" + len(message).to_bytes(4, "big") + message


class Deflated(bytes):
    """A message that is still compressed."""


class MessageReader:
    """Cuts the data of one stream into messages, each byte looked at once."""

    def __init__(self, max_bytes: int, encoding: bytes = b"identity") -> None:
        self._max_bytes = max_bytes
        self._encoding = encoding
        self._head = b""
        """The beginning of a prefix that has not come whole."""
        self._compressed = 0
        self._size = -1
        """Of the message whose prefix has come; -1 between messages."""
        self._parts: list[bytes | bytearray] = []
        self._have = 0

    @property
    def empty(self) -> bool:
        """Whether nothing of a message has come that is not complete."""
        return self._size < 0 and not self._head

    @property
    def held(self) -> int:
        """Bytes of a message that has not come whole."""
        return self._have

    def feed(self, data: bytes) -> Sequence[bytes]:
        """The messages that ``data`` completes, some of them Deflated.

        Raises MessageTooLarge or BadMessage.
        """
        if self._size < 0 and not self._head and len(data) >= PREFIX_BYTES:
            # The usual case: one message, whole.
            size = int.from_bytes(data[1:PREFIX_BYTES], "big")
            if len(data) == PREFIX_BYTES + size:
                return (self._message(data[0], data[PREFIX_BYTES:]),)
        messages: list[bytes] = []
        if self._size >= 0:
            missing = self._size - self._have
            if len(data) < missing:
                self._hold(data)
                return ()
            self._parts.append(data[:missing])
            messages.append(self._message(self._compressed, b"".join(self._parts)))
            self._parts, self._have, self._size = [], 0, -1
            data = data[missing:]
        self._cut(self._head + data, messages)
        return messages

    def _cut(self, data: bytes, messages: list[bytes]) -> None:
        at = 0
        while len(data) - at >= PREFIX_BYTES:
            size = int.from_bytes(data[at + 1 : at + PREFIX_BYTES], "big")
            if size > self._max_bytes:
                raise MessageTooLarge(
                    f"Received message larger than max ({size} vs. {self._max_bytes})"
                )
            begin, end = at + PREFIX_BYTES, at + PREFIX_BYTES + size
            if end > len(data):
                self._compressed, self._size, self._head = data[at], size, b""
                self._hold(data[begin:])
                return
            messages.append(self._message(data[at], data[begin:end]))
            at = end
        self._head = data[at:]

    def _hold(self, data: bytes) -> None:
        """Keep a part of a message; small ones together, or each would cost more than its bytes."""
        self._have += len(data)
        last = self._parts[-1] if self._parts else None
        if len(data) >= _SMALL_PART:
            self._parts.append(data)
        elif isinstance(last, bytearray):
            last += data
        else:
            self._parts.append(bytearray(data))

    def _message(self, compressed: int, content: bytes) -> bytes:
        if len(content) > self._max_bytes:
            raise MessageTooLarge(
                f"Received message larger than max ({len(content)} vs. {self._max_bytes})"
            )
        if not compressed:
            return content
        if compressed != 1 or self._encoding != b"gzip":
            raise BadMessage("a compressed message without a grpc-encoding that is known here")
        return Deflated(content)


def inflate(content: bytes, max_bytes: int) -> bytes:
    """Decompress, piece by piece, and never to more than ``max_bytes``.

    Raises MessageTooLarge or BadMessage.
    """
    decompressor = zlib.decompressobj(16 + zlib.MAX_WBITS)
    parts: list[bytes] = []
    size = 0
    try:
        for at in range(0, len(content), _DEFLATED_PIECE):
            rest = content[at : at + _DEFLATED_PIECE]
            while rest:
                part = decompressor.decompress(rest, _INFLATED_PIECE)
                parts.append(part)
                size += len(part)
                if size > max_bytes:
                    raise MessageTooLarge(
                        f"Received message larger than max (vs. {max_bytes}) when inflated"
                    )
                rest = decompressor.unconsumed_tail
    except zlib.error as failure:
        raise BadMessage("a compressed message that is not gzip") from failure
    if not decompressor.eof or decompressor.unused_data:
        raise BadMessage("a compressed message that does not end where its gzip ends")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def knows_encoding(encoding: bytes) -> bool:
    """Whether messages in ``encoding`` can be read."""
    return encoding in _ENCODINGS


def compress(message: bytes) -> bytes:
    """A message behind its prefix, compressed."""
    content = gzip.compress(message, compresslevel=1)
    return b"\x01" + len(content).to_bytes(4, "big") + content
