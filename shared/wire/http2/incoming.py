"""(pure) What a peer may send us before we let it send more."""

from shared.wire.http2.frames import Code
from shared.wire.http2.limits import ProtocolFault

# A peer is told of more room when so large a part of the window is used up.
_HALF = 2


class IncomingWindow:
    """The window of one stream, or of a whole connection."""

    __slots__ = ("_told_from", "_unreported", "room")

    def __init__(self, size: int, room: int = 0) -> None:
        """A window of ``size`` bytes; ``room`` is what it begins with when that is more."""
        self.room = max(size, room)
        """Bytes that the peer may still send."""
        self._told_from = size // _HALF
        self._unreported = 0

    def charge(self, size: int, allowance: str) -> None:
        """Bytes came; raises ProtocolFault when they are more than this window allows."""
        self.room -= size
        if self.room < 0:
            raise ProtocolFault(Code.FLOW_CONTROL_ERROR, f"more data than {allowance}")

    def consumed(self, count: int) -> int:
        """Bytes are done with; gives how many more the peer is to be told of, 0 for none yet."""
        self._unreported += count
        if self._unreported <= self._told_from:
            return 0
        told, self._unreported = self._unreported, 0
        self.room += told
        return told
