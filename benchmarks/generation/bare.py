"""``python -m benchmarks.generation.bare FOLDER``: the graphs in a loop, without a server.

Reads lines and answers each with seconds: ``steps ROWS COUNT``, so many decode steps of so many
rows; ``texts ROWS COUNT``, so many of the texts in FOLDER continued, so many at a time. A loop
does what any must: calls the graph, keeps the new keys and values, finds the largest logits.
"""

import os
import sys
import time
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as device processes have it

import numpy as np

from benchmarks.generation.export import loop_of
from benchmarks.generation.models import texts_in
from benchmarks.generation.shapes import NEW_TOKENS, PROMPT_TOKENS, ROWS, Text
from examples.llm.graphs import on_cpu
from examples.llm.plain_loop import Loop


class BareLoops:
    """A loop for one row, and one for all."""

    def __init__(self, folder: Path) -> None:
        self._texts = texts_in(folder)
        self._loops = {rows: loop_of(rows, folder) for rows in (1, ROWS)}
        for rows in self._loops:
            self.texts(rows, rows)

    def steps(self, rows: int, count: int) -> float:
        """Decode steps alone, at the places where texts are continued."""
        loop = self._loops[rows]
        tokens = np.array([each.following[0] for each in self._texts[:rows]], np.int32)
        began = time.perf_counter()
        for number in range(count):
            position = PROMPT_TOKENS + number % NEW_TOKENS
            tokens = loop.decode(tokens, np.full(rows, position, np.int32))
        return time.perf_counter() - began

    def texts(self, rows: int, count: int) -> float:
        """Whole texts; what comes out is checked."""
        began = time.perf_counter()
        for first in range(0, count, rows):
            texts = [self._texts[(first + n) % len(self._texts)] for n in range(rows)]
            self._check(self._loops[rows], texts)
        return time.perf_counter() - began

    def _check(self, loop: Loop, texts: list[Text]) -> None:
        made = loop.generate([each.tokens for each in texts], NEW_TOKENS)
        assert made == [each.following for each in texts], "the loop's texts have changed"


def main(folder: Path) -> None:
    """Answer until nobody asks any more."""
    on_cpu()
    loops = BareLoops(folder)
    print("ready", flush=True)
    for line in sys.stdin:
        what, rows, count = line.split()
        measure = {"steps": loops.steps, "texts": loops.texts}[what]
        print(measure(int(rows), int(count)), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
