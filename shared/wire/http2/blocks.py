"""(pure) A header block, put together from the HEADERS frame and its CONTINUATIONs."""

from typing import NamedTuple

from shared.wire.http2 import frames as f
from shared.wire.http2.frames import Code
from shared.wire.http2.limits import ProtocolFault

_PRIORITY_BYTES = 5


class Block(NamedTuple):
    """The whole header block of a stream."""

    number: int
    end_stream: bool
    content: bytes


class BlockReader:
    """One connection's blocks, which come one after another. Raises ProtocolFault."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.number = 0
        """The stream whose block is incomplete; 0 for none."""
        self._end_stream = False
        self._content = bytearray()

    @property
    def held(self) -> int:
        """Bytes of a block that has not come whole."""
        return len(self._content)

    def check(self, kind: int, number: int) -> None:
        """Nothing may come between the frames of a block."""
        if self.number and (kind != f.CONTINUATION or number != self.number):
            raise ProtocolFault(Code.PROTOCOL_ERROR, "a header block was interrupted")

    def begin(self, flags: int, number: int, payload: bytes) -> Block | None:
        """The block, if this HEADERS frame holds all of it."""
        content = f.without_padding(payload, flags)
        if content is not None and flags & f.HAS_PRIORITY:
            content = content[_PRIORITY_BYTES:] if len(content) >= _PRIORITY_BYTES else None
        if content is None or number == 0:
            raise ProtocolFault(Code.PROTOCOL_ERROR, "a malformed HEADERS frame")
        self._check_size(len(content))
        end_stream = bool(flags & f.END_STREAM)
        if flags & f.END_HEADERS:
            return Block(number, end_stream, bytes(content))
        self.number, self._end_stream, self._content = number, end_stream, bytearray(content)
        return None

    def go_on(self, flags: int, payload: bytes) -> Block | None:
        """The block, if this CONTINUATION frame is its last."""
        if not self.number:
            raise ProtocolFault(Code.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._content += payload
        self._check_size(len(self._content))
        if not flags & f.END_HEADERS:
            return None
        block = Block(self.number, self._end_stream, bytes(self._content))
        self.number, self._content = 0, bytearray()
        return block

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ProtocolFault(Code.ENHANCE_YOUR_CALM, "a header block that is too large")
