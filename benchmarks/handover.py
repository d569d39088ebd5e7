"""What handing a batch to an agent costs: TCP, Unix socket, shared memory.

    python -m benchmarks.handover [--rounds 5] [--batches 200]

One agent process with the reference backend (identity) executes batches one after
another. Rounds are interleaved; reported are medians (min to max) of CPU
milliseconds per batch over all three processes (this one as the worker, agent,
device process) and of the median latency.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import uvloop
from prometheus_client import CollectorRegistry

from services.worker.agents import agents as agents_module
from services.worker.agents.agents import Agents
from services.worker.metrics import Metrics
from shared import logs
from shared.membership import Assigned, Assignment, ModelFiles
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import task_scope
from shared.tensors import Array
from shared.wire.grpcio import GrpcioWire
from shared.wire.membership import Registrar

WHAT = ServableVersion("identity", 1)
CALL = ModelCall("identity.json")
SIZES = {"1 KB": (1, 256), "64 KB": (1, 16_384), "600 KB": (1, 150_528), "8 x 600 KB": (8, 150_528)}
WAYS = ("tcp, in message", "unix, in message", "unix, shared memory")


@asynccontextmanager
async def agent(folder: Path, columns: int, *, way: str) -> AsyncIterator[tuple[Agents, list[int]]]:
    """A joined agent that holds the model, and the ids of its processes."""
    spec = {"name": "x", "dtype": "float32", "dims": [-1, columns]}
    path = folder / "identity.json"
    path.write_text(json.dumps({"function": "identity", "inputs": [spec], "outputs": [spec]}))
    files = ModelFiles("identity.json", "reference", (str(path),), True, (), 32)
    assignment = Assignment((Assigned(WHAT, (files,)),))
    changed = asyncio.Event()
    wire = GrpcioWire()
    async with task_scope() as scope:
        agents = Agents(
            wire, scope, Metrics(CollectorRegistry()),
            assignment=lambda: assignment, idle=lambda what: None, changed=changed.set,
        )  # fmt: skip
        async with wire.serve(Registrar(agents, 10.0).routes, ["127.0.0.1:0"]) as server:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "services.agent", "--stop-with-stdin"),
                *("--worker", server.addresses[0]),
                "--local-socket" if way.startswith("unix") else "--no-local-socket",
                *("--log-level", "error"),
                stdin=asyncio.subprocess.PIPE,
            )
            try:
                while not agents.holding(WHAT):
                    changed.clear()
                    await changed.wait()
                below = psutil.Process(process.pid).children()
                yield agents, [process.pid, *(each.pid for each in below)]
            finally:
                assert process.stdin is not None
                process.stdin.close()
                async with asyncio.timeout(30):
                    await process.wait()


def cpu_seconds(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in (*pids, psutil.Process().pid)]
    return sum(each.user + each.system for each in times)


async def measure(
    agents: Agents, pids: list[int], rows: list[Array], batches: int
) -> dict[str, float]:
    """CPU milliseconds per batch and median milliseconds of one batch."""
    took = []
    for warm in (True, False):
        before = cpu_seconds(pids)
        took.clear()
        for _ in range(20 if warm else batches):
            began = time.perf_counter()
            taken = agents.take_idle(WHAT)
            assert taken is not None
            outputs = await taken.execute(CALL, [rows], len(rows))
            taken.release()
            took.append(time.perf_counter() - began)
            assert outputs[0].shape == (len(rows), *rows[0].shape)
        used = cpu_seconds(pids) - before
    return {"cpu_ms": 1e3 * used / batches, "p50_ms": 1e3 * statistics.median(took)}


async def run(rounds: int, batches: int) -> dict[str, dict[str, list[dict[str, float]]]]:
    results: dict[str, dict[str, list[dict[str, float]]]] = {
        size: {way: [] for way in WAYS} for size in SIZES
    }
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for size, (count, columns) in SIZES.items():
                rows = [np.ones(columns, np.float32) for _ in range(count)]
                for way in WAYS:
                    print(f"round {number + 1}/{rounds}: {size}, {way}    ", end="\r", flush=True)
                    agents_module.SHARED_FROM_BYTES = 0 if "shared" in way else 1 << 60
                    async with agent(Path(folder), columns, way=way) as (agents, pids):
                        results[size][way].append(await measure(agents, pids, rows, batches))
    print(" " * 60, end="\r")
    return results


def cell(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handover", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=200)
    given = parser.parse_args()
    logs.configure("benchmark", level="error", format="console")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(run(given.rounds, given.batches))
    print("| batch | way | CPU ms per batch | p50 ms |\n|---|---|---:|---:|")
    for size, ways in results.items():
        for way, measured in ways.items():
            cpu, p50 = ([each[key] for each in measured] for key in ("cpu_ms", "p50_ms"))
            print(f"| {size} | {way} | {cell(cpu)} | {cell(p50)} |")


if __name__ == "__main__":
    main()
