"""Room for one more? The bound on requests in flight."""

import asyncio

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

    @property
    def in_flight(self) -> int:
        """Requests that are in now."""
        return self._in_flight

    def check(self) -> None:
        """Whether a request would be let in now; raises Overloaded or Draining."""
        self.check_open()
        if self._in_flight >= self._max_requests:
            raise Overloaded(
                f"Serving Error: enqueued requests count exceeds the limit {self._max_requests}"
            )

    def check_open(self) -> None:
        """Raises Draining when nobody is let in any more."""
        if self._draining:
            raise Draining("Serving Error: the master is shutting down")

    def __enter__(self) -> None:
        """A place for one request while inside; raises Overloaded or Draining."""
        self.check()
        if not self._in_flight:
            self._idle.clear()
        self._in_flight += 1

    def __exit__(self, *failure: object) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def drain(self) -> None:
        """Let nobody in any more and wait until everybody has left."""
        self._draining = True
        await self._idle.wait()
