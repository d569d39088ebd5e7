"""Arrays in memory that several processes map."""

import mmap
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from shared.tensors import Array

_ALIGN = 64
_SMALLEST = 1 << 20

# An array, or rows that are stacked on their way into the arena.
Column = Array | list[Array]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an array lies in an arena."""

    offset: int
    dtype: str
    dims: tuple[int, ...]

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.offset + int(np.prod(self.dims, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def aligned(offset: int) -> int:
    """The first place from ``offset`` on where an array may begin."""
    return -(-offset // _ALIGN) * _ALIGN


def dims_of(column: Column) -> tuple[int, ...]:
    """The shape of a column, stacked."""
    return (len(column), *column[0].shape) if isinstance(column, list) else column.shape


def join(column: Column) -> Array:
    """A column as one array."""
    if not isinstance(column, list):
        return column
    return np.stack(column) if len(column) > 1 else column[0][np.newaxis]


class Arena:
    """A memory file as one process maps it; whoever needs more room makes it longer."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._size = 0
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls) -> "Arena":
        """New memory without a name in any file system; it goes with its last user."""
        return cls(os.memfd_create("mindserve"))

    def close(self) -> None:
        """Let go of it; arrays that look into it stay valid."""
        self._map = None
        os.close(self.fd)

    def _ensure(self, size: int) -> mmap.mmap:
        if self._map is None or size > self._size:
            on_file = os.fstat(self.fd).st_size
            if on_file < size:
                on_file = max(_SMALLEST, 1 << (size - 1).bit_length())
                # Reserved now: memory that is missing later would end the process.
                os.posix_fallocate(self.fd, 0, on_file)
            # An older mapping lives on as long as arrays look at it.
            self._map, self._size = mmap.mmap(self.fd, on_file), on_file
        return self._map

    def write(self, columns: Sequence[Column], offset: int = 0) -> tuple[list[Placed], int]:
        """Copy arrays in from ``offset`` on; gives where they lie, and the end.

        Raises OSError when there is no memory for them.
        """
        placed: list[Placed] = []
        for column in columns:
            first = column[0] if isinstance(column, list) else column
            placed.append(Placed(offset, first.dtype.name, dims_of(column)))
            offset = aligned(placed[-1].end)
        memory = self._ensure(max(offset, 1))
        for column, place in zip(columns, placed, strict=True):
            view: Array = np.ndarray(place.dims, np.dtype(place.dtype), memory, place.offset)
            if isinstance(column, list):
                np.stack(column, out=view)
            else:
                np.copyto(view, column)
        return placed, offset

    def read(self, placed: Sequence[Placed]) -> list[Array]:
        """Views of the arrays; raises ValueError when one lies outside the memory."""
        end = max((place.end for place in placed), default=0)
        if min((place.offset for place in placed), default=0) < 0:
            raise ValueError("an array begins before the memory does")
        if end > os.fstat(self.fd).st_size:
            raise ValueError(f"an array ends at byte {end}, after the memory does")
        memory = self._ensure(max(end, 1))
        return [
            np.ndarray(place.dims, np.dtype(place.dtype), memory, place.offset) for place in placed
        ]
