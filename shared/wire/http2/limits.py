"""(pure) What a peer may do on a connection, and the fault of one that does more."""

from dataclasses import dataclass

from shared.wire.http2.frames import Code


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may do."""

    max_streams: int = 1000
    """Streams open at once."""
    max_header_bytes: int = 16 << 10
    """One header block, as sent and as read."""
    frame_bytes: int = 64 << 10
    """Largest frame we accept."""
    stream_window: int = 4 << 20
    """Bytes of one stream under way to us."""
    connection_window: int = 64 << 20
    """Bytes of all streams under way to us."""
    max_settings: int = 32
    """Settings in one frame."""
    max_nuisance: int = 2000
    """Resets, pings, settings, priorities and empty frames at once, beyond what is forgiven."""
    forgiven_per_second: int = 400
    """So many of them a peer may send for ever."""
    max_held_bytes: int = 1 << 30
    """Messages of all connections of a server that have not come whole."""
    stalled_seconds: float = 30.0
    """How long a peer may leave data of ours waiting, or a message of its own half sent."""
    handshake_seconds: float = 10.0
    """How long a client may take for the TLS handshake."""
    keepalive_seconds: float = 5.0
    """How often a client asks its server for a sign of life."""
    tend_seconds: float = 2.0
    """How often a server looks after its connections."""
    silent_seconds: float = 60.0
    """After so long without a word a peer is pinged, and after as long again it is gone."""


class ProtocolFault(Exception):
    """The peer broke the protocol or a limit: the connection ends."""

    def __init__(self, code: Code, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
