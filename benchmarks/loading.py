"""What loading a version costs the answers of the one beside it.

    python -m benchmarks.loading [--loads 9] [--callers 4]

The example tensor_add on real MindSpore, called without a pause. Version after version is
loaded; printed is p99 of the answers during each load, as a multiple of p99 before it.
"""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.processes import Command, Processes
from mindspore_serving.client import AsyncClient
from shared.ports import free_port
from shared.wire.check import serves

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "tensor_add"
NAME = "tensor_add"
READY_SECONDS = 60.0
ANSWERS_BEFORE = 1000
ONES = {"x1": np.ones((2, 2), np.float32), "x2": np.ones((2, 2), np.float32)}


class Callers:
    """Note when each answer was asked for, and how long it took."""

    def __init__(self, client: AsyncClient, count: int) -> None:
        self._client = client
        self._answers: list[tuple[float, float]] = []
        self._came = asyncio.Event()
        self.tasks = [asyncio.create_task(self._call()) for _ in range(count)]

    async def _call(self) -> None:
        while True:
            began = time.perf_counter()
            await self._client.infer(ONES)
            self._answers.append((began, time.perf_counter() - began))
            self._came.set()

    async def more(self, count: int) -> None:
        """Wait until ``count`` more have come."""
        enough = len(self._answers) + count
        async with asyncio.timeout(READY_SECONDS):
            while len(self._answers) < enough:
                self._came.clear()
                await self._came.wait()

    def p99(self, begin: float, end: float) -> float:
        """Seconds, of those asked for between the two moments."""
        return float(np.percentile([took for at, took in self._answers if begin <= at < end], 99))


def commands(front: str, admin: str) -> list[Command]:
    """Master, worker and agent."""
    membership, worker = (f"127.0.0.1:{free_port()}" for _ in range(2))
    services = (
        f"master --listen {front} --membership-address {membership} --admin-rest-address {admin}",
        f"worker --listen {worker} --masters {membership} --servable-directory .",
        f"agent --worker {worker}",
    )
    return [
        Command([sys.executable, "-m", *f"services.{each}".split()], {"PYTHONPATH": str(ROOT)})
        for each in services
    ]


async def load(folder: Path, admin: str, version: int) -> None:
    """Have ``version``, a copy of the one before, take over."""
    versions = folder / NAME
    shutil.copytree(versions / str(version - 1), versions / str(version))
    order = urllib.request.Request(f"http://{admin}/servables/{NAME}/load", method="POST")
    with await asyncio.to_thread(urllib.request.urlopen, order):
        pass


async def measure(folder: Path, front: str, admin: str, loads: int, callers: int) -> list[float]:
    """For each load, p99 during it over p99 before it."""
    async with asyncio.timeout(READY_SECONDS):
        while not await serves(front, NAME):  # noqa: ASYNC110 (nobody here could set an event)
            await asyncio.sleep(0.1)
    ratios = []
    async with AsyncClient(front, NAME, "add_common", raise_on_error=True) as client:
        calling = Callers(client, callers)
        for version in range(2, 2 + loads):
            before = time.perf_counter()
            await calling.more(ANSWERS_BEFORE)
            begin = time.perf_counter()
            await load(folder, admin, version)
            during = calling.p99(begin, time.perf_counter())
            ratios.append(during / calling.p99(before, begin))
            print(f"load {version - 1}: {ratios[-1]:.2f}", flush=True)
        for task in calling.tasks:
            task.cancel()
        await asyncio.gather(*calling.tasks, return_exceptions=True)
    return ratios


def main() -> None:
    """Print a line for each load, and the median."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--loads", type=int, default=9)
    parser.add_argument("--callers", type=int, default=4)
    asked = parser.parse_args()
    front, admin = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        shutil.copytree(EXAMPLE / NAME, folder / NAME)
        export = [sys.executable, str(EXAMPLE / "export_model" / "add_model.py"), made]
        subprocess.run(export, check=True)
        with Processes(commands(front, admin), folder):
            ratios = uvloop.run(measure(folder, front, admin, asked.loads, asked.callers))
    print(f"median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
