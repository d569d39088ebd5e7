"""The parts that load Mindserve with h2load: more callers, more workers, larger tensors."""

import time
from collections.abc import Callable, Iterator

from benchmarks.layout import Layout
from benchmarks.measure import READY_SECONDS, Meter, NotReady, Running, running
from benchmarks.peers.mindserve import Mindserve
from benchmarks.processes import Processes
from benchmarks.scaling.peers import OURS, SimulatedWorkers
from benchmarks.scaling.points import Point
from benchmarks.scaling.simulated import ALL_LINKED
from benchmarks.works import WORKS, Work

Say = Callable[[str], None]
MASTER = 0
"""The process that starts first."""
WORKERS_LAYOUT, PAYLOAD_LAYOUT = Layout(8, 8), Layout(4, 1)


def callers(wire: str, sizes: list[int], number: int, seconds: float, say: Say) -> Iterator[Point]:
    """One connection for each caller, one request at a time."""
    with running(Mindserve("mindserve", wire), WORKS["a"], OURS) as server:
        for size in sizes:
            say(f"{size} callers")
            yield loaded(server, Layout(size, 1), seconds, "callers", wire, size, number)


def workers(wire: str, sizes: list[int], number: int, seconds: float, say: Say) -> Iterator[Point]:
    """What the master alone costs; the workers are simulated."""
    for size in sizes:
        say(f"{size} workers")
        with running(SimulatedWorkers("mindserve", wire, size), WORKS["a"], OURS) as server:
            wait_for(ALL_LINKED, server.processes)
            yield loaded(server, WORKERS_LAYOUT, seconds, "workers", wire, size, number, MASTER)


def payload(wire: str, sizes: list[int], number: int, seconds: float, say: Say) -> Iterator[Point]:
    """Tensors of so many bytes in, the first 4 KB of them out."""
    for size in sizes:
        say(f"{size:,} bytes")
        floats = size // 4
        work = Work("payload", "", floats, min(floats, 1024), "head")
        with running(Mindserve("mindserve", wire), work, OURS) as server:
            yield loaded(server, PAYLOAD_LAYOUT, seconds, "payload", wire, size, number)


def wait_for(words: str, processes: Processes) -> None:
    """Until a process has said so; raises NotReady."""
    until = time.monotonic() + READY_SECONDS
    while words not in processes.last_words():
        if time.monotonic() > until:
            raise NotReady(processes.last_words())
        time.sleep(0.05)


def loaded(
    server: Running, layout: Layout, seconds: float, part: str, wire: str, size: int, number: int,
    only: int | None = None,
) -> Point:  # fmt: skip
    """One load; ``only`` names the process whose CPU time and memory count."""
    load = server.load(layout)
    load.warm_up(seconds)
    server.processes.check()
    meter = Meter(server.processes, only)
    answers = load.run(seconds)
    used = meter.read()
    requests = answers.requests
    return Point(
        part=part, wire=wire, size=size, round=number, requests=requests, errors=answers.errors,
        cpu_us=1e6 * used.cpu_seconds / requests, per_second=requests / answers.seconds,
        p50_ms=answers.p50_ms, p99_ms=answers.p99_ms,
        pss_mb=server.processes.memory(only)[0] / 1e6,
    )  # fmt: skip
