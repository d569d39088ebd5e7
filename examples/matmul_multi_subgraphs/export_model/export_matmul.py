"""Exports one network for two sizes of input: ``export_matmul.py [DIRECTORY]``.

The files are subgraphs of one model: matmul_0.mindir takes float32 128x96, matmul_1.mindir 8x96.
They go into DIRECTORY/matmul/1; the directory is the one above this file's by default.
"""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops


class ColumnSums(nn.Cell):
    """The sums of the columns of x @ weight, where all 96x16 weights are 0.5."""

    def __init__(self):
        super().__init__()
        self.weight = Parameter(ms.Tensor(np.full((96, 16), 0.5, np.float32)))
        self.matmul = ops.MatMul()
        self.sum = ops.ReduceSum()

    def construct(self, x):
        return self.sum(self.matmul(x, self.weight), 0)


def export(directory: Path) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    folder = directory / "matmul" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate((128, 8)):
        x = ms.Tensor(np.ones((rows, 96), np.float32))
        name = f"matmul_{number}"
        ms.export(ColumnSums(), x, file_name=str(folder / name), file_format="MINDIR")
        print(f"exported matmul/1/{name}.mindir")


if __name__ == "__main__":
    export(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[1])
