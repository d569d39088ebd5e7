"""A rank of the first stage, or MindSpore's scheduler: ``export_rank.py DIRECTORY STAGES``."""

import os
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore.communication import init
from net import COLUMNS, ROWS, MatMul, Neg

BATCH = 128


def export(directory: Path, stages: int) -> None:
    """The model of this rank, and that of its fellow in the second stage."""
    rank, ranks = int(os.environ["MS_NODE_ID"]), int(os.environ["MS_WORKER_NUM"])
    if ranks > 1:
        init()
    write(directory, rank, MatMul(rank, ranks, negated=stages == 1), np.ones((BATCH, ROWS)))
    if stages == 2:
        write(directory, ranks + rank, Neg(), np.ones((BATCH, COLUMNS)))


def write(directory: Path, rank: int, net: ms.nn.Cell, x: np.ndarray) -> None:
    """The files of one rank."""
    folder = directory / "model" / f"device{rank}"
    folder.mkdir(parents=True, exist_ok=True)
    name = str(folder / "matmul")
    ms.export(net, ms.Tensor(x, ms.float32), file_name=name, file_format="MINDIR")
    # The parallel compiler of Ascend writes its groups there; on a CPU there are none to name.
    (folder / "group_config.pb").touch()
    print(f"exported model/{folder.name}/matmul.mindir", flush=True)


def meet() -> None:
    """What the scheduler does: it has the ranks meet, until it is ended."""
    init()
    sys.stdin.read()


if __name__ == "__main__":
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    if os.environ["MS_ROLE"] == "MS_SCHED":
        meet()
    else:
        export(Path(sys.argv[1]), int(sys.argv[2]))
        # MindSpore's own clean-up waits for the others.
        os._exit(0)
