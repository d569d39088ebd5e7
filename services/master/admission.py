"""Room for one more request, or an immediate refusal."""

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import Draining, Overloaded


class Admission:
    """Counts requests in flight and refuses beyond the limit."""

    def __init__(self, max_requests: int) -> None:
        self._max_requests = max_requests
        self.in_flight = 0
        self.closed = False

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Hold a place while inside; raises Overloaded or Draining."""
        if self.closed:
            raise Draining("this master is shutting down")
        if self.in_flight >= self._max_requests:
            raise Overloaded(
                f"Serving Error: enqueued requests count exceeds the limit {self._max_requests}"
            )
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1
