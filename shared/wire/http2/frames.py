"""(pure) HTTP/2 frames as bytes (RFC 9113, section 4 and 6)."""

import enum
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEAD_BYTES = 9
# Length in 8 + 16 bits, type, flags, stream.
_HEAD = struct.Struct(">BHBBI")
_UINT32 = struct.Struct(">I")
_SETTING = struct.Struct(">HI")

DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_BYTES = 16_384
LARGEST_FRAME_BYTES = (1 << 24) - 1
LARGEST_WINDOW = (1 << 31) - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20


class Setting(enum.IntEnum):
    """RFC 9113, section 6.5.2."""

    HEADER_TABLE_SIZE = 1
    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4
    MAX_FRAME_SIZE = 5
    MAX_HEADER_LIST_SIZE = 6


class Code(enum.IntEnum):
    """RFC 9113, section 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11

    @staticmethod
    def text_of(code: int) -> str:
        """The name of a peer's code, which may be one that no document knows."""
        try:
            return Code(code).name
        except ValueError:
            return f"code {code}"


def head(kind: int, flags: int, stream: int, length: int) -> bytes:
    """The nine bytes in front of a payload."""
    return _HEAD.pack(length >> 16, length & 0xFFFF, kind, flags, stream)


def read_head(data: bytes | bytearray, at: int) -> tuple[int, int, int, int]:
    """Length, type, flags and stream of the frame that begins at ``at``."""
    high, low, kind, flags, stream = _HEAD.unpack_from(data, at)
    return high << 16 | low, kind, flags, stream & 0x7FFFFFFF


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A whole frame."""
    return head(kind, flags, stream, len(payload)) + payload


def settings_frame(settings: dict[Setting, int]) -> bytes:
    """Our settings."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*each) for each in settings.items()))


def read_settings(payload: bytes) -> list[tuple[int, int]]:
    """The settings of a peer, in their order."""
    return list(_SETTING.iter_unpack(payload))


def window_update_frame(stream: int, by: int) -> bytes:
    """Let the peer send ``by`` bytes more."""
    return frame(WINDOW_UPDATE, 0, stream, _UINT32.pack(by))


def rst_stream_frame(stream: int, code: int) -> bytes:
    """End one stream at once."""
    return frame(RST_STREAM, 0, stream, _UINT32.pack(code))


def goaway_frame(last_stream: int, code: int, reason: bytes = b"") -> bytes:
    """Announce the end of the connection."""
    payload = _UINT32.pack(last_stream) + _UINT32.pack(code) + reason
    return frame(GOAWAY, 0, 0, payload)


def read_uint32(payload: bytes, at: int = 0) -> int:
    """A number of 32 bits."""
    number: int = _UINT32.unpack_from(payload, at)[0]
    return number


def header_frames(stream: int, block: bytes, *, end: bool, frame_bytes: int) -> bytes:
    """A header block as HEADERS and, when it is long, CONTINUATION frames."""
    flags = END_STREAM if end else 0
    if len(block) <= frame_bytes:
        return frame(HEADERS, flags | END_HEADERS, stream, block)
    parts = [frame(HEADERS, flags, stream, block[:frame_bytes])]
    rest = block[frame_bytes:]
    while len(rest) > frame_bytes:
        parts.append(frame(CONTINUATION, 0, stream, rest[:frame_bytes]))
        rest = rest[frame_bytes:]
    parts.append(frame(CONTINUATION, END_HEADERS, stream, rest))
    return b"".join(parts)


def without_padding(payload: bytes, flags: int) -> bytes | None:
    """The payload inside its padding; None when there is more padding than payload."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        return None
    return payload[1 : len(payload) - payload[0]]
