"""Runs a load in this process and sums it up."""

import gc
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import uvloop

from benchmarks.generation.load.answer import Answered
from benchmarks.generation.load.loops import Load, Progress
from benchmarks.generation.load.order import Order
from benchmarks.generation.load.summary import Summary


class Measured(NamedTuple):
    """What a load came to, and every answer."""

    summary: Summary
    answers: Sequence[Answered]


def run_load(
    order: Order, headers: Mapping[str, str] | None = None, progress: Progress = lambda _: None
) -> Measured:
    """Send all requests and wait for all answers."""
    # A collection of garbage would look like a slow server.
    gc.disable()
    return uvloop.run(_run(order, headers or {}, progress))


async def _run(order: Order, headers: Mapping[str, str], progress: Progress) -> Measured:
    load = Load(order, headers, progress)
    await load.warm_up()
    began, used = time.monotonic(), time.process_time()
    answers = await load.run()
    seconds = time.monotonic() - began
    return Measured(Summary.of(answers, seconds, time.process_time() - used), answers)
