"""Wakes the one task that waits for news."""

import asyncio


class Bell:
    """An ``asyncio.Event`` for one who waits, at half the calls: every request rings several."""

    __slots__ = ("_loop", "_rung", "_waiter")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = False
        self._waiter: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """There is news; kept for the next ``wait`` when nobody waits now."""
        waiter = self._waiter
        if waiter is None:
            self._rung = True
        elif not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Return when it rings; at once if it has rung since the last time."""
        if not self._rung:
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                self._waiter = None
        self._rung = False
