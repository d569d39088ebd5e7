"""Exports the model of every rank: model/device{rank}/matmul.mindir, for float32 128x96.

A graph that sums over ranks is exported by ranks: this starts MindSpore's scheduler, and one
process for each rank of the first stage. With two stages the ranks of the first one multiply, and
those of the second one negate.
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

SECONDS = 300.0


def export(directory: Path, ranks: int, stages: int) -> None:
    """Start scheduler and ranks, and wait for the ranks; ends with a text when one fails."""
    together = ranks // stages
    meeting = {
        "MS_WORKER_NUM": str(together),
        "MS_SCHED_HOST": "127.0.0.1",
        "MS_SCHED_PORT": str(free_port()),
    }
    quiet = {"GLOG_v": "3"}
    command = [sys.executable, str(HERE / "export_rank.py"), str(directory), str(stages)]

    def start(role: str, rank: int) -> subprocess.Popen[bytes]:
        environment = quiet | os.environ | meeting | {"MS_ROLE": role, "MS_NODE_ID": str(rank)}
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=HERE.parent, help="where to make model/")
    parser.add_argument("--ranks", type=int, default=8, help="stages times a divisor of 96")
    parser.add_argument("--stages", type=int, default=1, choices=(1, 2))
    given = parser.parse_args()
    if given.ranks < 1 or given.ranks % given.stages or 96 % (given.ranks // given.stages):
        parser.error("--ranks: stages times a divisor of 96")
    export(**vars(given))
