"""(pure) How much a peer has sent that costs us more than it."""

from shared.wire.http2.frames import Code
from shared.wire.http2.limits import ProtocolFault


class Nuisance:
    """Counts frames that do nothing, up to a limit; time and real work make up for them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.count = 0

    def add(self, count: int = 1) -> None:
        """Frames that are cheaper to send than to receive; raises ProtocolFault at the limit."""
        self.count += count
        if self.count > self._most:
            raise ProtocolFault(Code.ENHANCE_YOUR_CALM, "too many frames that do nothing")

    def note(self) -> None:
        """A frame that may be of use, so that by itself it never ends a connection."""
        if self.count < self._most // 2:
            self.count += 1

    def forgive(self, count: int = 1) -> None:
        """Time has passed, or the peer has asked for real work."""
        self.count = max(0, self.count - count)
