"""Exports x1 + x2 and x1 - x2 for float32 2x2: ``add_sub_model.py [DIRECTORY]``.

They go into DIRECTORY/add_sub/1; the directory is the one above this file's by default.
"""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops


class Add(nn.Cell):
    """y = x1 + x2."""

    def __init__(self):
        super().__init__()
        self.add = ops.Add()

    def construct(self, x1, x2):
        return self.add(x1, x2)


class Sub(nn.Cell):
    """y = x1 - x2."""

    def __init__(self):
        super().__init__()
        self.sub = ops.Sub()

    def construct(self, x1, x2):
        return self.sub(x1, x2)


def export(directory: Path) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    folder = directory / "add_sub" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    x = ms.Tensor(np.ones((2, 2), np.float32))
    for name, cell in (("tensor_add", Add()), ("tensor_sub", Sub())):
        ms.export(cell, x, x, file_name=str(folder / name), file_format="MINDIR")
        print(f"exported add_sub/1/{name}.mindir")


if __name__ == "__main__":
    export(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
