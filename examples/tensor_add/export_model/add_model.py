"""Exports y = x1 + x2 for float32 2x2: ``add_model.py [DIRECTORY]``, into DIRECTORY/tensor_add/1.

The directory is the one above this file's by default.
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


def export(directory: Path) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    folder = directory / "tensor_add" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    x = ms.Tensor(np.ones((2, 2), np.float32))
    ms.export(Add(), x, x, file_name=str(folder / "tensor_add"), file_format="MINDIR")
    print("exported tensor_add/1/tensor_add.mindir")


if __name__ == "__main__":
    export(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
