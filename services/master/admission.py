"""Room for one more? The bound on requests in flight."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from services.master.metrics import Metrics
from shared.errors import Draining, Overloaded


class Admission:
    """Lets at most ``max_requests`` in; says no at once to the next."""

    def __init__(self, max_requests: int, metrics: Metrics) -> None:
        self._max_requests = max_requests
        self._in_flight = 0
        # Read when scraped: setting it for each request costs more than counting does.
        metrics.in_flight.set_function(lambda: self._in_flight)
        self._idle = asyncio.Event()
        self._idle.set()
        self._draining = False

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """A place for one request while inside; raises Overloaded or Draining."""
        if self._draining:
            raise Draining("Serving Error: the master is shutting down")
        if self._in_flight >= self._max_requests:
            raise Overloaded(
                f"Serving Error: enqueued requests count exceeds the limit {self._max_requests}"
            )
        self._change(+1)
        try:
            yield
        finally:
            self._change(-1)

    def _change(self, by: int) -> None:
        self._in_flight += by
        if self._in_flight:
            self._idle.clear()
        else:
            self._idle.set()

    async def drain(self) -> None:
        """Let nobody in any more and wait until everybody has left."""
        self._draining = True
        await self._idle.wait()
