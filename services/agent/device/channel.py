"""Between agent and device process: a socket for messages, shared memory for arrays.

A message is a JSON object behind its length. Arrays lie in one memory file that
both sides map; messages say where. Either side makes the file longer.
"""

import json
import mmap
import os
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from shared.tensors import Array

LENGTH = struct.Struct("<I")
_ALIGN = 64


class Arena:
    """The shared memory file, as one side maps it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._size = 0
        self._map: mmap.mmap | None = None

    def _ensure(self, size: int) -> mmap.mmap:
        if self._map is None or size > self._size:
            on_file = os.fstat(self.fd).st_size
            if on_file < size:
                on_file = max(1 << 20, 1 << (size - 1).bit_length())
                # Reserved now: memory that is missing later would end the process.
                os.posix_fallocate(self.fd, 0, on_file)
            # An older mapping lives on as long as arrays look at it.
            self._map, self._size = mmap.mmap(self.fd, on_file), on_file
        return self._map

    def write(self, arrays: Sequence[Array], offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Copy arrays in from ``offset`` on; gives their descriptions and the end."""
        placed: list[dict[str, Any]] = []
        for array in arrays:
            placed.append({"offset": offset, "dtype": array.dtype.name, "dims": array.shape})
            offset += -(-array.nbytes // _ALIGN) * _ALIGN
        memory = self._ensure(max(offset, 1))
        for array, place in zip(arrays, placed, strict=True):
            start: int = place["offset"]
            view: Array = np.ndarray(array.shape, array.dtype, memory, start)
            np.copyto(view, array)
        return placed, offset

    def read(self, described: Sequence[dict[str, Any]]) -> list[Array]:
        """Views of the arrays that lie where ``described`` says."""
        end = max((d["offset"] + _nbytes(d) for d in described), default=0)
        memory = self._ensure(max(end, 1))
        return [
            np.ndarray(tuple(d["dims"]), np.dtype(d["dtype"]), memory, d["offset"])
            for d in described
        ]


def _nbytes(described: dict[str, Any]) -> int:
    return int(np.prod(described["dims"], dtype=np.int64)) * np.dtype(described["dtype"]).itemsize


def pack(message: dict[str, Any]) -> bytes:
    """A message as bytes."""
    body = json.dumps(message).encode()
    return LENGTH.pack(len(body)) + body
