"""Every level of the stack, in one round."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.generation.deployment import (
    AGENT,
    MASTER,
    WORKER,
    Deployment,
    service,
    wait_for_text,
)
from benchmarks.generation.levels import fake, scheduler
from benchmarks.generation.levels.told_worker import MODEL as TOLD
from benchmarks.generation.load.child import run_in_child
from benchmarks.generation.load.order import Asked, Order
from benchmarks.generation.shapes import NEW_TOKENS, ROWS
from benchmarks.generation.times import LevelTime
from benchmarks.peers.environment import ROOT
from benchmarks.processes import Command, Processes
from shared.ports import free_port

MODULE = "benchmarks.generation.levels"
PROCESSES = {"master": MASTER, "worker": WORKER, "agent": AGENT}


@contextmanager
def master_alone(folder: Path) -> Iterator[Deployment]:
    """A master whose worker is simulated."""
    front, rest, joins = (f"127.0.0.1:{free_port()}" for _ in range(3))
    told = [sys.executable, "-m", f"{MODULE}.told_worker", joins]
    commands = [
        service("master", "--listen", front, "--rest-address", rest, "--membership-address", joins),
        Command(told, {"PYTHONPATH": str(ROOT)}),
    ]
    with Processes(commands, folder) as processes:
        wait_for_text(f"http://{rest}", TOLD, processes)
        yield Deployment(processes, f"http://{rest}")


def level_times(
    alone: Deployment, whole: Deployment, models: Mapping[str, str], *, number: int, folder: Path
) -> Iterator[LevelTime]:
    """All levels; ``models``: the level's name, and the model of ``whole`` that it is."""
    transport = _transport_us()
    for rows in (1, ROWS):
        yield LevelTime("scheduler", rows, number, scheduler.step_us(rows))
        yield LevelTime("transport", rows, number, transport)
        yield LevelTime("fake graph", rows, number, fake.graph_us(folder, rows))
        used = _used(alone, TOLD, rows, folder, {"master": MASTER})
        yield LevelTime("master alone, CPU", rows, number, used["master"])
        for level, model in models.items():
            for name, step_us in _used(whole, model, rows, folder, PROCESSES).items():
                what = level if name == "step" else f"{level}, CPU of {name}"
                yield LevelTime(what, rows, number, step_us)


def _used(
    deployment: Deployment, model: str, rows: int, folder: Path, numbers: Mapping[str, int]
) -> dict[str, float]:
    """Microseconds of a step: from token to token at the client, and CPU of each process."""
    prompts = tuple(Asked(f"{n}: Return the", NEW_TOKENS) for n in range(2 * rows))
    order = Order(
        deployment.url, model, prompts, max(4, 2 * rows), rows, must_reach_length=True
    )  # fmt: skip
    before = _cpu(deployment.processes, numbers)
    found = run_in_child(order, folder)
    if found.errors:
        raise subprocess.SubprocessError(f"{model}: {dict(found.failures)}")
    steps = (found.tokens + NEW_TOKENS * order.warm_requests) / rows
    after = _cpu(deployment.processes, numbers)
    used = {name: 1e6 * (after[name] - before[name]) / steps for name in after}
    return {"step": 1e3 * found.token_ms.p50, **used}


def _cpu(processes: Processes, numbers: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far of these processes, and of all others: device processes."""
    found = {name: processes.cpu_seconds(number) for name, number in numbers.items()}
    return {**found, "device process": processes.cpu_seconds() - sum(found.values())}


def _transport_us() -> float:
    done = subprocess.run(
        [sys.executable, "-m", f"{MODULE}.transport"],
        check=True, capture_output=True, text=True, cwd=ROOT, timeout=60,
    )  # fmt: skip
    return float(done.stdout)
