"""Whether it matters which generator loads a server over HTTP/1.1.

    python -m benchmarks.closed_loop [--work a] [--peers mindserve-rest,asgi] [--rounds 3]

Both generators load the same running server in turn, a fresh server each round. Reported are
medians (min to max), among them what the generator itself takes: it has one thread, so where
it keeps nearly one core busy, it is the generator that is measured.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.closed_loop.h2load import H2load
from benchmarks.closed_loop.load import Answers, Load
from benchmarks.closed_loop.wrk import Wrk
from benchmarks.figures import Spread
from benchmarks.layout import layouts_of
from benchmarks.measure import Meter, Running, running
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.peer import Peer
from benchmarks.processes import adopt_orphans
from benchmarks.rounds import environment_of, say
from benchmarks.works import WORKS, Work

HEAD = (
    "| server | in flight | generator | CPU µs per request | requests/s | p50 ms | p99 ms "
    "| generator's µs per request | its cores | errors |\n"
    "|---|---:|---|---:|---:|---:|---:|---:|---:|---:|"
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of one generator."""

    server: str
    in_flight: int
    generator: str
    answers: Answers
    server_seconds: float
    """CPU time of all the server's processes."""


def turns(peer: Peer, work: Work, layouts: list[str], seconds: float, first: int) -> Iterator[Turn]:
    """Each generator under each load; ``first`` says which one begins."""
    with running(peer, work, environment_of(peer)) as server:
        for layout in layouts_of(tuple(layouts), has_streams=False):
            target = server.target(layout)
            loads: list[Load] = [H2load(target), Wrk(target)]
            for load in (loads[first % 2], loads[1 - first % 2]):
                name = type(load).__name__.lower()
                say(f"{peer.name}, {layout.in_flight} in flight, {name}")
                yield Turn(peer.name, layout.in_flight, name, *measured(server, load, seconds))


def measured(server: Running, load: Load, seconds: float) -> tuple[Answers, float]:
    """What came back, and the CPU time of the server."""
    load.warm_up(seconds)
    server.processes.check()
    meter = Meter(server.processes)
    return load.run(seconds), meter.read().cpu_seconds


def table(done: list[Turn]) -> str:
    """(pure) A row for each server, load and generator."""
    rows: dict[tuple[str, int, str], list[Turn]] = {}
    for each in done:
        rows.setdefault((each.server, each.in_flight, each.generator), []).append(each)
    lines = [HEAD]
    for key in sorted(rows):
        found = rows[key]
        cells = (
            Spread.of(1e6 * each.server_seconds / each.answers.requests for each in found),
            Spread.of(each.answers.requests / each.answers.seconds for each in found),
            Spread.of(each.answers.p50_ms for each in found),
            Spread.of(each.answers.p99_ms for each in found),
            Spread.of(1e6 * each.answers.own_seconds / each.answers.requests for each in found),
            Spread.of(each.answers.own_seconds / each.answers.seconds for each in found),
            sum(each.answers.errors for each in found),
        )
        lines.append("| " + " | ".join(map(str, (*key, *cells))) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.closed_loop", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--work", choices=WORKS, default="a")
    parser.add_argument("--peers", default="mindserve-rest,asgi")
    parser.add_argument("--loads", default="1x1,8x8", metavar="CxS,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    given = parser.parse_args()
    if absent := machine.missing(*machine.GENERATORS):
        sys.exit(absent)
    adopt_orphans()
    done: list[Turn] = []
    for number in range(given.rounds):
        for name in given.peers.split(","):
            done += turns(
                PEERS[name], WORKS[given.work], given.loads.split(","), given.seconds, number
            )
    print(f"{machine.described(*machine.GENERATORS)}\n\n{table(done)}")


if __name__ == "__main__":
    main()
