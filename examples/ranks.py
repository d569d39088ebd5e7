"""Processes that meet: what exports a model whose ranks wait for one another in its graphs."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from shared.ports import free_port

SECONDS = 300.0


def run_ranks(command: Sequence[str], ranks: int) -> None:
    """Run ``command`` once for each rank, beside MindSpore's scheduler, and wait for the ranks.

    Each is this Python with ``command``, told by the environment what MindSpore reads there:
    MS_ROLE, which is MS_SCHED for the scheduler, MS_NODE_ID and MS_WORKER_NUM. A single rank has
    nobody to meet. Ends this process with a text when one fails.
    """
    meeting = {
        "MS_WORKER_NUM": str(ranks),
        "MS_SCHED_HOST": "127.0.0.1",
        "MS_SCHED_PORT": str(free_port()),
    }
    quiet = {"GLOG_v": "3"}

    def start(role: str, rank: int) -> subprocess.Popen[bytes]:
        environment = quiet | os.environ | meeting | {"MS_ROLE": role, "MS_NODE_ID": str(rank)}
        return subprocess.Popen([sys.executable, *command], env=environment, stdin=subprocess.PIPE)

    scheduler = [start("MS_SCHED", 0)] if ranks > 1 else []
    workers = [start("MS_WORKER", rank) for rank in range(ranks)]
    deadline = time.monotonic() + SECONDS
    try:
        for rank, process in enumerate(workers):
            if process.wait(deadline - time.monotonic()):
                sys.exit(f"rank {rank} failed")
    finally:
        # The scheduler would wait for ranks that have gone, and ranks for the one that failed.
        for process in scheduler + workers:
            process.kill()
            process.wait()
