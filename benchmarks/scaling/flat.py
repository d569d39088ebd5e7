"""A long run under steady load, and one with a leak that must be seen."""

import time
from collections.abc import Iterator

from benchmarks.layout import Layout
from benchmarks.measure import Meter, running
from benchmarks.peers.mindserve import Mindserve
from benchmarks.scaling.loads import Say
from benchmarks.scaling.peers import OURS
from benchmarks.scaling.points import Moment
from benchmarks.works import WORKS

LAYOUT = Layout(4, 4)


def flat(peer: Mindserve, name: str, seconds: float, interval: float, say: Say) -> Iterator[Moment]:
    """CPU time per request and memory, about every ``interval`` seconds."""
    with running(peer, WORKS["a"], OURS) as server:
        load = server.load(LAYOUT)
        load.warm_up(interval)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            say(f"{passed:.0f} of {seconds:.0f} s")
            meter = Meter(server.processes)
            answers = load.run(interval)
            used = meter.read()
            server.processes.check()
            yield Moment(
                run=name, second=time.monotonic() - began, requests=answers.requests,
                errors=answers.errors, cpu_us=1e6 * used.cpu_seconds / answers.requests,
                written_mb=server.processes.written_memory() / 1e6,
            )  # fmt: skip
