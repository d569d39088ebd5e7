"""The worker's memory, as the device process maps it."""

import os

from services.agent.device.work import Region
from shared.arena import Arena
from shared.errors import MemoryNotShared

NONCE_BYTES = 16


class Regions:
    """Opens the region that a message names; keeps the latest, because a worker uses one."""

    def __init__(self) -> None:
        self._opened: tuple[Region, Arena] | None = None

    def open(self, region: Region) -> Arena:
        """The region, mapped; raises MemoryNotShared when it is not the worker's memory."""
        if self._opened is not None:
            known, arena = self._opened
            if known == region:
                return arena
            self._opened = None
            arena.close()
        arena = _open(region)
        self._opened = region, arena
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
