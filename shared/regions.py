"""Memory of one process that another one on the same host maps.

It has no name in any file system: the other process reaches it as a descriptor of its owner and
uses it only when it begins with the nonce that the owner told.
"""

import os
from typing import NamedTuple

import numpy as np

from shared.arena import Arena, Placed
from shared.errors import MemoryNotShared

NONCE_BYTES = 16
HEADER_BYTES = 64
"""What comes after is the owner's to use."""


class Region(NamedTuple):
    """What its owner tells of a region."""

    pid: int
    fd: int
    nonce: bytes


class OwnRegion:
    """A region of this process."""

    def __init__(self) -> None:
        """Raises OSError when there is no memory for it."""
        self.arena = Arena.create()
        self.told = Region(os.getpid(), self.arena.fd, os.urandom(NONCE_BYTES))
        try:
            self.arena.write([np.frombuffer(self.told.nonce, np.uint8)])
        except OSError:
            self.arena.close()
            raise

    def close(self) -> None:
        """Let go of it."""
        self.arena.close()


class Regions:
    """Opens the region that a message names, and keeps the latest few."""

    def __init__(self, most_open: int) -> None:
        self._most_open = most_open
        self._opened: dict[Region, Arena] = {}

    def open(self, region: Region) -> Arena:
        """The region, mapped; raises MemoryNotShared when it is not its owner's memory."""
        arena = self._opened.pop(region, None)
        if arena is None:
            arena = _open(region)
            if len(self._opened) >= self._most_open:
                self._opened.pop(next(iter(self._opened))).close()
        # In the order of their last use.
        self._opened[region] = arena
        return arena

    def read(self, region: Region, size: int) -> bytes:
        """A copy of ``size`` bytes behind the header; raises MemoryNotShared."""
        arena = self.open(region)
        try:
            (found,) = arena.read([Placed(HEADER_BYTES, "uint8", (size,))])
        except ValueError as failure:
            raise MemoryNotShared(f"the owner's memory: {failure}") from None
        return found.tobytes()

    def close(self) -> None:
        """Let go of every region."""
        while self._opened:
            self._opened.popitem()[1].close()


def _open(region: Region) -> Arena:
    try:
        fd = os.open(f"/proc/{region.pid}/fd/{region.fd}", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as failure:
        raise MemoryNotShared(f"the owner's memory: {failure.strerror}") from None
    try:
        found = os.pread(fd, NONCE_BYTES, 0)
    except OSError:
        found = b""
    if len(region.nonce) != NONCE_BYTES or found != region.nonce:
        os.close(fd)
        raise MemoryNotShared("the owner's memory: found something else in its place")
    return Arena(fd)
