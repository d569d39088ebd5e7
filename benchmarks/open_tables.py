"""(pure) The tables of open loops."""

from collections.abc import Sequence

from benchmarks.figures import LOOP, OpenSample, Sample, Spread, short, throughput
from benchmarks.works import WORKS

HEAD = (
    "| server | arrive/s | p50 ms | p99 ms | left late, p99 ms | CPU µs per request | errors |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)
WORDS = (
    "Requests arrive at random (Poisson), whether earlier ones were answered or not; latency "
    "counts from the moment that was meant for a request, so it includes how late the load "
    "generator sent it. gRPC: 8 connections in turn; HTTP/1.1: as many connections as are needed "
    "at once. Servers are asked for no more than they did in a closed loop."
)


def section(opened: Sequence[OpenSample], closed: Sequence[Sample]) -> str:
    """A table for each work."""
    parts = [f"### Open loop\n\n{WORDS}"]
    for work in sorted({each.work for each in opened}):
        ours = [each for each in opened if each.work == work]
        parts.append(f"{work}. {WORKS[work].what}:\n\n{table(ours, closed)}")
    return "\n\n".join(parts)


def table(opened: Sequence[OpenSample], closed: Sequence[Sample]) -> str:
    """One row for each server and rate of one work; a server that was not asked says why."""
    work = opened[0].work
    rates = sorted({each.rate for each in opened})
    servers = dict.fromkeys(
        each.server for each in closed if each.work == work and each.server != LOOP
    )
    rows = []
    for server in servers:
        for rate in rates:
            rounds = [each for each in opened if (each.server, each.rate) == (server, rate)]
            able = throughput(closed, work, server)
            rows.append(_row(rounds) if rounds else _left_out(server, rate, able))
    return "\n".join([HEAD, *rows])


def _row(rounds: Sequence[OpenSample]) -> str:
    cells = [
        rounds[0].server, f"{rounds[0].rate:,g}",
        Spread.of(each.p50_ms for each in rounds), Spread.of(each.p99_ms for each in rounds),
        Spread.of(each.late_p99_ms for each in rounds), Spread.of(each.cpu_us for each in rounds),
        sum(each.errors for each in rounds),
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _left_out(server: str, rate: float, able: float) -> str:
    reason = f"does at most {short(able)} a second" if able <= rate else "not measured"
    return f"| {server} | {rate:,g} | {reason} | | | | |"
