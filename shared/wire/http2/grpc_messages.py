"""(pure) gRPC's messages: cut out of a stream's data, behind their prefixes, compressed or not.

Source: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

import gzip
import zlib
from collections.abc import Sequence

PREFIX_BYTES = 5
_DEFLATED_PIECE, _INFLATED_PIECE = 64 << 10, 1 << 20
_SMALL_PART = 1024
_ENCODINGS = (b"identity", b"gzip")


class MessageTooLarge(Exception):
    """A message beyond the limit of this side."""


class BadMessage(Exception):
    """Bytes that are no message."""


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
