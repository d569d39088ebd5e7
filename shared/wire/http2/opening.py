"""(pure) What each side of a connection says first."""

from shared.wire.http2 import frames as f
from shared.wire.http2.frames import Code, Setting
from shared.wire.http2.limits import Limits, ProtocolFault

_TLS_HANDSHAKE = b"\x16\x03"


def check_preface(data: bytes) -> None:
    """What a client has said so far; raises ProtocolFault when it will be no preface."""
    if not f.PREFACE.startswith(data[: len(f.PREFACE)]):
        is_tls = data.startswith(_TLS_HANDSHAKE)
        reason = "TLS, which is not spoken here" if is_tls else "not HTTP/2"
        raise ProtocolFault(Code.PROTOCOL_ERROR, reason)


def opening(limits: Limits, *, is_client: bool) -> list[bytes]:
    """A client's preface, then our settings and the window of the whole connection."""
    settings = {
        Setting.ENABLE_PUSH: 0,
        Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
        Setting.MAX_FRAME_SIZE: limits.frame_bytes,
        Setting.MAX_HEADER_LIST_SIZE: limits.max_header_bytes,
    }
    if not is_client:
        settings[Setting.MAX_CONCURRENT_STREAMS] = limits.max_streams
    return [
        *((f.PREFACE,) if is_client else ()),
        f.settings_frame(settings),
        f.window_update_frame(0, limits.connection_window - f.DEFAULT_WINDOW),
    ]
