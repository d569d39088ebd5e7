"""One server doing one work: start it, ask until it is right, load it, end it."""

import http.client
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil

from benchmarks.closed_loop.h2load import H2load
from benchmarks.closed_loop.load import Load, Target
from benchmarks.closed_loop.wrk import Wrk
from benchmarks.figures import OpenSample, Sample
from benchmarks.layout import Layout, layouts_of
from benchmarks.messages import Call
from benchmarks.open_loop.child import run_open_loop
from benchmarks.open_loop.order import Order
from benchmarks.peers.environment import Environment
from benchmarks.peers.peer import Peer
from benchmarks.processes import Processes
from benchmarks.works import Work
from shared.ports import free_port

READY_SECONDS = 120.0
GRPC_CONNECTIONS = 8
"""Connections that requests of an open loop take in turn."""
MOST_HTTP_CONNECTIONS = 256


class NotReady(Exception):
    """A server never gave a right answer."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    processes: Processes
    port: int
    call: Call
    answer_bytes: int
    folder: Path

    def target(self, layout: Layout) -> Target:
        """What a generator of closed loops has to know of it."""
        return Target(
            self.port, self.call, self.answer_bytes, layout, self.folder, self.processes.check
        )

    def load(self, layout: Layout) -> Load:
        """A closed loop by the generator that speaks its protocol."""
        return (H2load if self.call.is_grpc else Wrk)(self.target(layout))


@contextmanager
def running(peer: Peer, work: Work, environment: Environment) -> Iterator[Running]:
    """The server, ready: it has given a right answer."""
    with TemporaryDirectory(prefix="bench-") as top:
        folder, load_folder = Path(top, "s"), Path(top, "load")
        folder.mkdir()
        load_folder.mkdir()
        port = free_port()
        with Processes(peer.commands(work, folder, port, environment), folder) as processes:
            call = peer.call(work)
            answer = _first_right_answer(processes, port, call)
            length = len(answer) + (5 if call.is_grpc else 0)
            yield Running(processes, port, call, length, load_folder)


def samples(
    peer: Peer, work: Work, environment: Environment, layouts: Sequence[str],
    *, number: int, seconds: float, progress: Callable[[str], None],
) -> Iterator[Sample]:  # fmt: skip
    """Load a fresh server with each layout, one after another."""
    progress("starts")
    with running(peer, work, environment) as server:
        for layout in layouts_of(tuple(layouts), has_streams=server.call.is_grpc):
            progress(f"{layout} in flight")
            load = server.load(layout)
            load.warm_up(seconds)
            server.processes.check()
            meter = Meter(server.processes)
            answers = load.run(seconds)
            used = meter.read()
            pss, rss = server.processes.memory()
            yield Sample(
                work=work.key, server=peer.name, round=number,
                connections=layout.connections, in_flight=layout.in_flight,
                requests=answers.requests, errors=answers.errors, seconds=answers.seconds,
                cpu_us=1e6 * used.cpu_seconds / answers.requests,
                per_second=answers.requests / answers.seconds,
                p50_ms=answers.p50_ms, p99_ms=answers.p99_ms,
                pss_mb=pss / 1e6, rss_mb=rss / 1e6,
                others_cores=used.others_cores,
            )  # fmt: skip
        server.processes.check()


def open_samples(
    peer: Peer, work: Work, environment: Environment, rates: Sequence[float],
    *, number: int, seconds: float, progress: Callable[[str], None],
) -> Iterator[OpenSample]:  # fmt: skip
    """Let requests arrive at a fresh server at each rate, one after another."""
    progress("starts")
    with running(peer, work, environment) as server:
        for rate in rates:
            progress(f"{rate:g} requests a second arrive")
            order = Order(
                port=server.port, path=server.call.path, content_type=server.call.content_type,
                answer_bytes=server.answer_bytes - (5 if server.call.is_grpc else 0),
                connections=GRPC_CONNECTIONS if server.call.is_grpc else MOST_HTTP_CONNECTIONS,
                rate=rate, seconds=seconds, seed=number,
            )  # fmt: skip
            meter = Meter(server.processes)
            outcome = run_open_loop(order, server.call.body, server.folder)
            used = meter.read()
            yield OpenSample(
                work=work.key, server=peer.name, rate=rate, round=number,
                requests=outcome.requests, errors=outcome.errors, p50_ms=outcome.p50_ms,
                p99_ms=outcome.p99_ms, late_p99_ms=outcome.late_p99_ms,
                cpu_us=1e6 * used.cpu_seconds / (outcome.requests + outcome.warmed),
                others_cores=used.others_cores,
            )  # fmt: skip
        server.processes.check()


@dataclass(frozen=True, slots=True)
class Used:
    """What a load took."""

    cpu_seconds: float
    """Of all the server's processes."""
    others_cores: float
    """Cores that neither the server nor the load generator kept busy meanwhile."""


class Meter:
    """Reads what is used from its making on."""

    def __init__(self, processes: Processes, only: int | None = None) -> None:
        self._processes = processes
        self._only = only
        self._cpu, self._busy, self._own = self._now()
        self._began = time.monotonic()

    def _now(self) -> tuple[float, float, float]:
        return self._processes.cpu_seconds(self._only), _busy_seconds(), _own_seconds()

    def read(self) -> Used:
        elapsed = time.monotonic() - self._began
        cpu, busy, own = self._now()
        others = (busy - self._busy) - (cpu - self._cpu) - (own - self._own)
        return Used(cpu - self._cpu, max(0.0, others / elapsed))


def _first_right_answer(processes: Processes, port: int, call: Call) -> bytes:
    until = time.monotonic() + READY_SECONDS
    answer = b""
    while time.monotonic() < until:
        processes.check()
        try:
            answer = (_ask_grpc if call.is_grpc else _ask_http)(port, call)
            if call.is_right(answer):
                return answer
        except (grpc.RpcError, OSError, http.client.HTTPException, ValueError, KeyError) as failure:
            answer = repr(failure).encode()
        time.sleep(0.1)
    raise NotReady(f"the last answer was {answer[:300]!r}\n{processes.last_words()}")


def _ask_grpc(port: int, call: Call) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(call.path)
        return ask(call.body, timeout=10)


def _ask_http(port: int, call: Call) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", call.path, call.body, {"content-type": call.content_type})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise ValueError(f"status {response.status}: {answer[:300]!r}")
        return answer
    finally:
        connection.close()


def _busy_seconds() -> float:
    """CPU time that this machine has used for anything."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _own_seconds() -> float:
    """CPU time of the load generator and of this process."""
    used = (resource.getrusage(each) for each in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF))
    return sum(each.ru_utime + each.ru_stime for each in used)
