"""The limit of a step: its processes with nothing but pipes between them, and nothing served.

What is left of the ideal here is the machine's: sleeps that end late, processes that wait for
a core, images that do not fill the last round.
"""

import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from benchmarks.seed_steps.client import REQUESTS, images
from benchmarks.seed_steps.functions import postprocess, preprocessed
from benchmarks.seed_steps.steps import DEVICE_MS, PAYLOADS, BareTime, Step

_AHEAD = 2
"""What a process has at most: what it works on, and its next work."""
_END_SECONDS = 5.0

Number = int
"""Which image, counted from 0."""


class Bare:
    """The processes of a step, and who hands images from one to the next."""

    def __init__(self, workers: Sequence[Connection], devices: Sequence[Connection]) -> None:
        self._workers = workers
        self._devices = devices

    def label(self, encoded: Sequence[bytes], floats: int) -> float:
        """Have images labelled; the seconds it took."""
        began = time.perf_counter()
        if self._workers:
            self._label_there(encoded, floats)
        else:
            tensors = [preprocessed(each, floats) for each in encoded]
            scores = self._scored(tensors)
            for score in scores:
                postprocess(score)
        return time.perf_counter() - began

    def _scored(self, tensors: Sequence[Any]) -> list[Any]:
        scores: dict[Number, Any] = {}
        waiting = deque(enumerate(tensors))
        under_way = dict.fromkeys(self._devices, 0)
        while len(scores) < len(tensors):
            _hand_out(waiting, under_way)
            for connection in wait(list(under_way)):
                assert isinstance(connection, Connection)
                number, score = connection.recv()
                under_way[connection] -= 1
                scores[number] = score
        return [scores[number] for number in range(len(tensors))]

    def _label_there(self, encoded: Sequence[bytes], floats: int) -> None:
        """Of what waits, the latest stage goes first, as in the services."""
        labels: dict[Number, int] = {}
        first = deque((number, (image, floats)) for number, image in enumerate(encoded))
        scored: deque[tuple[Number, Any]] = deque()
        tensors: deque[tuple[Number, Any]] = deque()
        busy = dict.fromkeys(self._workers, 0)
        computing = dict.fromkeys(self._devices, 0)
        while len(labels) < len(encoded):
            _hand_out(tensors, computing)
            _hand_out(scored, busy)
            _hand_out(first, busy)
            for connection in wait([*busy, *computing]):
                assert isinstance(connection, Connection)
                number, value = connection.recv()
                if connection in computing:
                    computing[connection] -= 1
                    scored.append((number, value))
                    continue
                busy[connection] -= 1
                if isinstance(value, int):
                    labels[number] = value
                else:
                    tensors.append((number, value))


def _hand_out(waiting: deque[tuple[Number, Any]], under_way: dict[Connection, int]) -> None:
    """Give to whoever has least, as long as somebody has room."""
    while waiting:
        connection = min(under_way, key=lambda each: under_way[each])
        if under_way[connection] >= _AHEAD:
            return
        connection.send(waiting.popleft())
        under_way[connection] += 1


def _work(given: Any) -> Any:
    """What a worker process does: a tuple is an encoded image, an array its score."""
    return preprocessed(*given) if isinstance(given, tuple) else postprocess(given)


def _compute(tensor: Any) -> Any:
    """What a device does."""
    time.sleep(DEVICE_MS / 1e3)
    return np.ascontiguousarray(tensor[:1024])


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    while (message := connection.recv()) is not None:
        number, given = message
        connection.send((number, function(given)))


@contextmanager
def bare(step: Step) -> Iterator[Bare]:
    """The processes of a step, while inside."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_process(_work)) for _ in range(step.workers)]
        devices = [stack.enter_context(_process(_compute)) for _ in range(step.devices)]
        yield Bare(workers, devices)


@contextmanager
def _process(function: Callable[[Any], Any]) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(function, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
        ours.send(None)
        process.join(_END_SECONDS)
    finally:
        process.kill()
        process.join()


def bare_times(step: Step, count: int, *, number: int) -> Iterator[BareTime]:
    """So many images again and again, with the stage times alone: images of no weight.

    Large ones would block both ends of a pipe, each of which waits for the other to read.
    """
    encoded = images(PAYLOADS[0], count)
    with bare(step) as processes:
        processes.label(encoded, PAYLOADS[0].floats)
        for _ in range(REQUESTS):
            took = processes.label(encoded, PAYLOADS[0].floats)
            yield BareTime(step.number, number, 1e3 * took / count)
