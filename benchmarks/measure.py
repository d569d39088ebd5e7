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

from benchmarks.figures import Sample
from benchmarks.layout import layouts_of
from benchmarks.load import Load
from benchmarks.messages import Call
from benchmarks.peers.environment import Environment
from benchmarks.peers.peer import Peer
from benchmarks.processes import Processes
from benchmarks.works import Work
from shared.ports import free_port

READY_SECONDS = 120.0


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
            load = Load(server.port, server.call, server.answer_bytes, layout, server.folder)
            requests = load.calibrate(seconds)
            server.processes.check()
            cpu_before, busy_before = server.processes.cpu_seconds(), _busy_seconds()
            own_before, began = _own_seconds(), time.monotonic()
            answers = load.run(requests)
            elapsed = time.monotonic() - began
            cpu = server.processes.cpu_seconds() - cpu_before
            others = _busy_seconds() - busy_before - cpu - (_own_seconds() - own_before)
            pss, rss = server.processes.memory()
            yield Sample(
                work=work.key, server=peer.name, round=number,
                connections=layout.connections, in_flight=layout.in_flight,
                requests=requests, errors=answers.errors, seconds=answers.seconds,
                cpu_us=1e6 * cpu / requests, per_second=requests / answers.seconds,
                p50_ms=answers.p50_ms, p99_ms=answers.p99_ms,
                pss_mb=pss / 1e6, rss_mb=rss / 1e6,
                others_cores=max(0.0, others / elapsed),
            )  # fmt: skip
        server.processes.check()


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
