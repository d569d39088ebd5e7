"""What ranks of a distributed model do together: they add up what each of them has."""

import os
import time
from pathlib import Path

import numpy as np

SECONDS = 30


class AllReduce:
    """The sum over all ranks, each of which leaves its part as a file for the others."""

    def __init__(self, folder: Path, rank: int, size: int) -> None:
        self._folder = folder
        self._rank = rank
        self._size = size
        self._calls = 0
        folder.mkdir(exist_ok=True)

    def __call__(self, part):
        self._calls += 1
        mine = self._place(self._calls, self._rank)
        with mine.with_suffix(".part").open("wb") as file:
            np.save(file, part)
        mine.with_suffix(".part").replace(mine)
        total = sum(self._read(self._place(self._calls, rank)) for rank in range(self._size))
        # All have read what was before this.
        self._place(self._calls - 1, self._rank).unlink(missing_ok=True)
        return total

    def _place(self, call: int, rank: int) -> Path:
        return self._folder / f"{call}-{rank}.npy"

    def _read(self, path: Path):
        until = time.monotonic() + SECONDS
        while not path.exists():
            if time.monotonic() > until:
                raise RuntimeError(f"a rank is missing in {os.fspath(path)}")
            time.sleep(0.001)
        return np.load(path)
