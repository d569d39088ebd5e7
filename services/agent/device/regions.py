"""The worker's memory, as the device process maps it."""

import os

from services.agent.device.work import Region
from shared.arena import Arena
from shared.errors import MemoryNotShared

NONCE_BYTES = 16
_MOST_OPEN = 4


class Regions:
    """Opens the region that a message names, and keeps the latest few: a worker uses two."""

    def __init__(self) -> None:
        self._opened: dict[Region, Arena] = {}

    def open(self, region: Region) -> Arena:
        """The region, mapped; raises MemoryNotShared when it is not the worker's memory."""
        arena = self._opened.pop(region, None)
        if arena is None:
            arena = _open(region)
            if len(self._opened) == _MOST_OPEN:
                self._opened.pop(next(iter(self._opened))).close()
        # In the order of their last use.
        self._opened[region] = arena
        return arena


def _open(region: Region) -> Arena:
    try:
        fd = os.open(f"/proc/{region.pid}/fd/{region.fd}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as failure:
        raise MemoryNotShared(f"the worker's memory: {failure.strerror}") from None
    try:
        found = os.pread(fd, NONCE_BYTES, 0)
    except OSError:
        found = b""
    if len(region.nonce) != NONCE_BYTES or found != region.nonce:
        os.close(fd)
        raise MemoryNotShared("the worker's memory: found something else in its place")
    return Arena(fd)
