"""Wakes a coroutine at exact moments: timers of event loops know milliseconds only."""

import asyncio
import ctypes
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

_CLOCK_MONOTONIC, _NONBLOCK = 1, os.O_NONBLOCK
_libc = ctypes.CDLL(None, use_errno=True)


class _Times(ctypes.Structure):
    """``struct itimerspec``."""

    _fields_ = [
        (name, ctypes.c_long) for name in ("every_s", "every_ns", "first_s", "first_ns")
    ]  # fmt: skip


class Alarm:
    """A timer of the kernel, in the event loop as a file."""

    def __init__(self, timer: int) -> None:
        self._timer = timer
        self._rang = asyncio.Event()

    async def sleep_until(self, moment: float) -> None:
        """Return soon after ``time.monotonic()`` has reached ``moment``."""
        left = moment - time.monotonic()
        if left <= 0:
            await asyncio.sleep(0)  # who is behind must not hold up what is under way
            return
        self._rang.clear()
        seconds = int(left)
        times = _Times(0, 0, seconds, max(1, int(1e9 * (left - seconds))))
        if _libc.timerfd_settime(self._timer, 0, ctypes.byref(times), None):
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        await self._rang.wait()

    def ring(self) -> None:
        os.read(self._timer, 8)
        self._rang.set()


@contextmanager
def alarm() -> Iterator[Alarm]:
    """An alarm of the running event loop."""
    timer = _libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create failed")
    made, loop = Alarm(timer), asyncio.get_running_loop()
    loop.add_reader(timer, made.ring)
    try:
        yield made
    finally:
        loop.remove_reader(timer)
        os.close(timer)
