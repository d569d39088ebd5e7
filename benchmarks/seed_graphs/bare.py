"""``python -m benchmarks.seed_graphs.bare FOLDER WORDS WIDTH``: each graph's own time.

Reads lines ``GRAPH ROWS COUNT`` and prints the seconds that as many calls took, made as a
device process makes them.
"""

import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from benchmarks.seed_graphs.sizes import Array, Sizes


class Graph:
    """A loaded graph and an instance of its inputs."""

    def __init__(self, file: Path, inputs: list[Array]) -> None:
        self._inputs = inputs
        self._cell = nn.GraphCell(ms.load(str(file)))
        shapes = [[None, *each.shape] for each in inputs]
        self._cell.set_inputs(*(Tensor(shape=each, dtype=ms.float32) for each in shapes))

    def seconds(self, rows: int, count: int) -> float:
        arrays = [np.repeat(each[None], rows, 0) for each in self._inputs]
        began = time.perf_counter()
        for _ in range(count):
            self._cell(*map(Tensor.from_numpy, arrays)).asnumpy()
        return time.perf_counter() - began


def main(folder: Path, sizes: Sizes) -> None:
    """Answer until nobody asks any more."""
    ms.set_device("CPU")
    words, value = sizes.instance()
    graphs = {
        "first": Graph(folder / "first.mindir", [words]),
        "step": Graph(folder / "step.mindir", [value, value]),
        "merged": Graph(folder / "merged.mindir", [words, value]),
    }
    for graph in graphs.values():
        graph.seconds(1, 3)
    print("ready", flush=True)
    for line in sys.stdin:
        name, rows, count = line.split()
        print(graphs[name].seconds(int(rows), int(count)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Sizes(int(sys.argv[2]), int(sys.argv[3])))
