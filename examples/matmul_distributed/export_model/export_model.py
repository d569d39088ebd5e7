"""Exports the model of every rank: ``export_model.py [--ranks 8] [--directory DIRECTORY]``.

A graph that sums over ranks is exported by ranks: this starts MindSpore's scheduler and one
process for each rank, which writes model/device{rank}/matmul.mindir, for float32 128x96, into
DIRECTORY, the one above this file's by default.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from shared.ports import free_port  # noqa: E402 (the repository's, wherever this is called from)

BATCH = 128
SECONDS = 300.0


def export_rank(directory: Path) -> None:
    """What the process of one rank does."""
    import mindspore as ms
    import numpy as np
    from mindspore.communication import get_group_size, get_rank, init
    from net import ROWS, MatMul

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    init()
    folder = directory / "model" / f"device{get_rank()}"
    folder.mkdir(parents=True, exist_ok=True)
    x = ms.Tensor(np.ones((BATCH, ROWS), np.float32))
    net = MatMul(get_rank(), get_group_size())
    ms.export(net, x, file_name=str(folder / "matmul"), file_format="MINDIR")
    print(f"exported model/{folder.name}/matmul.mindir", flush=True)


def meet() -> None:
    """What MindSpore's scheduler process does: it has the ranks meet."""
    import mindspore as ms
    from mindspore.communication import init

    ms.set_device("CPU")
    init()
    sys.stdin.read()


def export(directory: Path, ranks: int) -> None:
    """Start scheduler and ranks, and wait for the ranks; raises CalledProcessError."""
    meeting = {
        "MS_WORKER_NUM": str(ranks),
        "MS_SCHED_HOST": "127.0.0.1",
        "MS_SCHED_PORT": str(free_port()),
    }

    def start(role: str, rank: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, __file__, "--directory", str(directory)],
            env=os.environ | meeting | {"MS_ROLE": role, "MS_NODE_ID": str(rank)},
            stdin=subprocess.PIPE,
        )

    processes = [start("MS_SCHED", 0), *(start("MS_WORKER", rank) for rank in range(ranks))]
    try:
        for process in processes[1:]:
            code = process.wait(SECONDS)
            if code:
                raise subprocess.CalledProcessError(code, process.args)
    finally:
        # The scheduler would wait for ranks that have gone.
        for process in processes:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=HERE.parent)
    parser.add_argument("--ranks", type=int, default=8, help="a divisor of 96")
    given = parser.parse_args()
    match os.environ.get("MS_ROLE"):
        case "MS_SCHED":
            meet()
        case "MS_WORKER":
            export_rank(given.directory)
            sys.stdout.flush()
            # MindSpore's own clean-up waits for the others.
            os._exit(0)
        case _:
            export(given.directory, given.ranks)


if __name__ == "__main__":
    main()
