"""(pure) Frames on a socket between a service and a process of its own.

A frame is a kind, a head and a payload, behind the lengths of both.
"""

import struct
from typing import NamedTuple

PREFIX = struct.Struct("<cII")


class Frame(NamedTuple):
    """One message."""

    kind: bytes
    head: bytes
    payload: bytes = b""

    def packed(self) -> list[bytes]:
        """The pieces to be sent, in their order."""
        return [PREFIX.pack(self.kind, len(self.head), len(self.payload)), self.head, self.payload]


class FrameReader:
    """Puts frames together from what a socket gives, in pieces of any size."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._needed = PREFIX.size

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes."""
        self._pieces.append(data)
        self._size += len(data)
        frames: list[Frame] = []
        if self._size < self._needed:
            return frames
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        at = 0
        while True:
            if len(data) - at < PREFIX.size:
                self._needed = PREFIX.size
                break
            kind, head_size, payload_size = PREFIX.unpack_from(data, at)
            self._needed = PREFIX.size + head_size + payload_size
            if len(data) - at < self._needed:
                break
            head_end = at + PREFIX.size + head_size
            at += self._needed
            frames.append(
                Frame(kind, data[at - payload_size - head_size : head_end], data[head_end:at])
            )
        self._pieces = [data[at:]] if at < len(data) else []
        self._size = len(data) - at
        return frames
