"""The floor of one caller: what it takes to pass a message along a row of processes.

    python -m benchmarks.relay [--messages 2000] [--rounds 3]

Each process but the last runs uvloop and passes on 128 bytes that it does not look at; the last
one sends them back. No server whose request walks through as many processes answers faster.
With a pause, other work cools the caches before each message, as a model's would.
"""

import argparse
import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import uvloop

MESSAGE = bytes(128)
DEADLINE_SECONDS = 30.0
PAUSES = (0.0, 0.005)
LENGTHS = (1, 2, 3, 4)


class _Passing(asyncio.Protocol):
    """One side of a process: whatever comes in goes out on the other side."""

    def __init__(self) -> None:
        self.out: asyncio.Transport
        self.gone = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.out.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()


async def _pass_on(caller: socket.socket, called: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    up, down = _Passing(), _Passing()
    answers, _ = await loop.create_unix_connection(lambda: down, sock=called)
    up.out = answers
    calls, _ = await loop.create_unix_connection(lambda: up, sock=caller)
    down.out = calls
    await up.gone.wait()


def _relay(caller: socket.socket, called: socket.socket) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_pass_on(caller, called))


def _echo(caller: socket.socket) -> None:
    while data := caller.recv(4096):
        caller.sendall(data)


@contextmanager
def row(
    length: int, last: Callable[[socket.socket], None] = _echo, greeting: bytes = MESSAGE
) -> Iterator[socket.socket]:
    """The caller's end of a row of ``length`` processes; the last one runs ``last``.

    It is there when all of ``greeting`` has come back.
    """
    # Fresh processes: what this one has loaded is not theirs, and no socket reaches them unasked.
    fresh = multiprocessing.get_context("spawn")
    caller, taken = socket.socketpair()
    caller.settimeout(DEADLINE_SECONDS)
    processes = []
    for _ in range(length - 1):
        called, following = socket.socketpair()
        processes.append(fresh.Process(target=_relay, args=(taken, called)))
        processes[-1].start()
        taken.close()
        called.close()
        taken = following
    processes.append(fresh.Process(target=last, args=(taken,)))
    processes[-1].start()
    taken.close()
    try:
        with caller:
            _ask(caller, greeting)
            yield caller
    finally:
        for process in processes:
            process.join(DEADLINE_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()


def _ask(caller: socket.socket, message: bytes = MESSAGE) -> None:
    caller.sendall(message)
    missing = len(message)
    while missing:
        missing -= len(caller.recv(missing)) or missing


def round_trip_us(caller: socket.socket, messages: int, pause: float) -> float:
    """The median of ``messages`` round trips, in microseconds."""
    took = []
    for _ in range(messages):
        time.sleep(pause)
        began = time.perf_counter()
        _ask(caller)
        took.append(time.perf_counter() - began)
    return 1e6 * statistics.median(took)


def measured(messages: int, rounds: int) -> dict[tuple[int, float], list[float]]:
    """Each length and pause, measured once a round."""
    found: dict[tuple[int, float], list[float]] = {}
    for number in range(rounds):
        for length in LENGTHS:
            print(f"round {number + 1}/{rounds}: {length} processes   ", end="\r", flush=True)
            with row(length) as caller:
                for pause in PAUSES:
                    count = min(messages, 300) if pause else messages
                    took = round_trip_us(caller, count, pause)
                    found.setdefault((length, pause), []).append(took)
    print(" " * 40, end="\r")
    return found


def table(found: dict[tuple[int, float], list[float]]) -> str:
    """(pure) Medians of the rounds, least to most."""
    lines = ["| processes | p50 µs | p50 µs, 5 ms between messages |", "|---:|---:|---:|"]
    for length in sorted({length for length, _ in found}):
        cells = [_cell(found[length, pause]) for pause in PAUSES]
        lines.append(f"| {length} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.relay", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--messages", type=int, default=2000, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(table(measured(cast("int", given.messages), cast("int", given.rounds))))


if __name__ == "__main__":
    main()
