"""How a service lives: it opens, runs until a signal, drains, closes."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import structlog
import uvloop

log = structlog.get_logger()

_STDIN = 0
# What comes so soon again is the same signal: timeout(1), for one, sends each twice.
_SAME_SECONDS = 1.0


class Drainable(Protocol):
    """A running service that can stop taking work and finish what it has."""

    async def drain(self) -> None:
        """Refuse new work and return when accepted work is answered."""


def run(
    open_service: Callable[[], AbstractAsyncContextManager[Drainable]],
    *,
    drain_seconds: float,
    stop_with_stdin: bool,
) -> None:
    """Run one service until SIGTERM or SIGINT, or (``stop_with_stdin``) its parent's end.

    The first signal drains for at most ``drain_seconds``; one that comes over a
    second later ends the process at once with status 128 + signal number.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _run_until_signalled(open_service, drain_seconds, stop_with_stdin=stop_with_stdin)
        )


async def _run_until_signalled(
    open_service: Callable[[], AbstractAsyncContextManager[Drainable]],
    drain_seconds: float,
    *,
    stop_with_stdin: bool,
) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    if stop_with_stdin:
        loop.add_reader(_STDIN, _on_stdin, loop, stopping)
    signals = Signals(stopping, loop.time)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.came, number)
    async with open_service() as service:
        _collect_rarely()
        await stopping.wait()
        log.info("draining", limit_seconds=drain_seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_seconds):
                await service.drain()
    log.info("stopped")


def _collect_rarely() -> None:
    """Look for reference cycles less often, and never among what start-up left.

    Requests make none, but have by default the collector run every few of them and
    look at all that wait: a seventh of a worker's time with many in flight.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def _on_stdin(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Whatever is written there is ignored; its end is the end of whoever held it."""
    if not os.read(_STDIN, 4096):
        loop.remove_reader(_STDIN)
        stopping.set()


class Signals:
    """SIGTERM and SIGINT: the first sets ``stopping``, one that comes later does not wait."""

    def __init__(self, stopping: asyncio.Event, now: Callable[[], float]) -> None:
        self._stopping = stopping
        self._now = now
        self._first_at: float | None = None

    def came(self, number: signal.Signals) -> None:
        """One was sent."""
        if self._first_at is None:
            self._first_at = self._now()
            self._stopping.set()
        elif self._now() - self._first_at > _SAME_SECONDS:
            os._exit(128 + number)
