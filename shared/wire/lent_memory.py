"""Memory in which a caller hands large payloads to a peer on the same host."""

import numpy as np

from shared.regions import HEADER_BYTES, OwnRegion
from shared.wire.exchange_messages import MOST_REGIONS


class LentMemory:
    """Regions for one payload each, used again and again; at most ``MOST_REGIONS``."""

    def __init__(self) -> None:
        self._free: list[OwnRegion] = []
        self._lent = 0

    def lend(self, payload: bytes) -> OwnRegion | None:
        """A region that holds the payload; None when there is none to be had."""
        if self._lent == MOST_REGIONS:
            return None
        try:
            region = self._free.pop() if self._free else OwnRegion()
            region.arena.write([np.frombuffer(payload, np.uint8)], HEADER_BYTES)
        except OSError:
            return None
        self._lent += 1
        return region

    def give_back(self, region: OwnRegion) -> None:
        """The peer is done with it."""
        self._lent -= 1
        self._free.append(region)

    def lose(self, region: OwnRegion) -> None:
        """The peer may still look at it: nothing else is written there."""
        self._lent -= 1
        region.close()

    def close(self) -> None:
        """Let go of what is free."""
        while self._free:
            self._free.pop().close()
