"""Exports the file of one rank: ``export_matmul.py [--device CPU] [--directory DIRECTORY]``.

Started once for each of two ranks, by MindSpore's msrun for instance; rank 1 writes
DIRECTORY/model/Matmul1.mindir, for float32 128x96. The directory is the one above this file's by
default.
"""

import argparse
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops
from mindspore.communication import get_group_size, get_rank, init, release

ROWS, COLUMNS = 96, 16


class MatMul(nn.Cell):
    """x @ weight, where all 96x16 weights are 0.5: this rank has its rows of them."""

    def __init__(self, rank, ranks):
        super().__init__()
        rows = ROWS // ranks
        self.first, self.last = rank * rows, (rank + 1) * rows
        self.weight = Parameter(ms.Tensor(np.full((rows, COLUMNS), 0.5, np.float32)))
        self.matmul = ops.MatMul()
        self.all_reduce = ops.AllReduce()

    def construct(self, x):
        return self.all_reduce(self.matmul(x[:, self.first : self.last], self.weight))


def export(device: str, directory: Path) -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device(device)
    init()
    folder = directory / "model"
    folder.mkdir(parents=True, exist_ok=True)
    x = ms.Tensor(np.ones((128, ROWS), np.float32))
    name = f"Matmul{get_rank()}"
    net = MatMul(get_rank(), get_group_size())
    ms.export(net, x, file_name=str(folder / name), file_format="MINDIR")
    print(f"exported model/{name}.mindir", flush=True)
    release()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="Ascend", choices=["Ascend", "GPU", "CPU"])
    default = Path(__file__).resolve().parents[1]
    parser.add_argument("--directory", type=Path, default=default)
    export(**vars(parser.parse_args()))
