"""(pure) What an open loop is told."""

from dataclasses import dataclass

WARM_REQUESTS, WARM_SECONDS = 50, 1.0
"""At most so many are sent, one after another, before the first arrival, and for so long."""


@dataclass(frozen=True, slots=True)
class Order:
    """Requests to one server."""

    port: int
    path: str
    content_type: str
    answer_bytes: int
    """Length of a right answer, without gRPC's prefix."""
    connections: int
    """gRPC: the connections that requests take in turn; HTTP/1.1: the most that are open."""
    rate: float
    """Requests per second."""
    seconds: float
    seed: int

    @property
    def is_grpc(self) -> bool:
        return self.content_type == "application/grpc"
