"""Exports every rank's model: ``export_model.py [DIRECTORY] [--ranks 8] [--stages 1|2]``.

A graph that sums over ranks is exported by ranks: this starts MindSpore's scheduler and one
process for each rank of the first stage. They write model/device{rank}/matmul.mindir, for
float32 128x96, into DIRECTORY, the one above this file's by default. With two stages the ranks of
the first one multiply, and those of the second one negate.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from shared.ports import free_port  # noqa: E402 (the repository's, wherever this is called from)

BATCH = 128
SECONDS = 300.0


def export_rank(directory: Path, stages: int) -> None:
    """What the process of one rank does, for its fellows in later stages as well."""
    import mindspore as ms
    import numpy as np
    from mindspore.communication import init
    from net import COLUMNS, ROWS, MatMul, Neg

    rank, ranks = int(os.environ["MS_NODE_ID"]), int(os.environ["MS_WORKER_NUM"])
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    if ranks > 1:
        init()
    write(directory, rank, MatMul(rank, ranks, negated=stages == 1), np.ones((BATCH, ROWS)))
    if stages == 2:
        write(directory, ranks + rank, Neg(), np.ones((BATCH, COLUMNS)))


def write(directory: Path, rank: int, net: object, x: object) -> None:
    """The files of one rank."""
    import mindspore as ms

    folder = directory / "model" / f"device{rank}"
    folder.mkdir(parents=True, exist_ok=True)
    name = str(folder / "matmul")
    ms.export(net, ms.Tensor(x, ms.float32), file_name=name, file_format="MINDIR")
    # The parallel compiler of Ascend writes its groups there; on a CPU there are none to name.
    (folder / "group_config.pb").touch()
    print(f"exported model/{folder.name}/matmul.mindir", flush=True)


def meet() -> None:
    """What MindSpore's scheduler process does: it has the ranks meet."""
    import mindspore as ms
    from mindspore.communication import init

    ms.set_device("CPU")
    init()
    sys.stdin.read()


def export(directory: Path, ranks: int, stages: int) -> None:
    """Start scheduler and ranks, and wait for the ranks; ends with a text when one fails."""
    together = ranks // stages
    meeting = {
        "GLOG_v": os.environ.get("GLOG_v", "3"),
        "MS_WORKER_NUM": str(together),
        "MS_SCHED_HOST": "127.0.0.1",
        "MS_SCHED_PORT": str(free_port()),
    }
    command = [sys.executable, __file__, str(directory), f"--stages={stages}"]

    def start(role: str, rank: int) -> subprocess.Popen[bytes]:
        environment = os.environ | meeting | {"MS_ROLE": role, "MS_NODE_ID": str(rank)}
        return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE)

    scheduler = [start("MS_SCHED", 0)] if together > 1 else []
    exporters = [start("MS_WORKER", rank) for rank in range(together)]
    deadline = time.monotonic() + SECONDS
    try:
        for rank, process in enumerate(exporters):
            if process.wait(deadline - time.monotonic()):
                sys.exit(f"rank {rank} failed")
    finally:
        # The scheduler would wait for ranks that have gone, and ranks for the one that failed.
        for process in scheduler + exporters:
            process.kill()
            process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, nargs="?", default=HERE.parent)
    parser.add_argument("--ranks", type=int, default=8, help="stages times a divisor of 96")
    parser.add_argument("--stages", type=int, default=1, choices=(1, 2))
    given = parser.parse_args()
    match os.environ.get("MS_ROLE"):
        case "MS_SCHED":
            meet()
        case "MS_WORKER":
            export_rank(given.directory, given.stages)
            sys.stdout.flush()
            # MindSpore's own clean-up waits for the others.
            os._exit(0)
        case _:
            if given.ranks < 1 or given.ranks % given.stages or 96 % (given.ranks // given.stages):
                parser.error("--ranks: stages times a divisor of 96")
            export(given.directory, given.ranks, given.stages)


if __name__ == "__main__":
    main()
