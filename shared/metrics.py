"""The Prometheus endpoint that each service opens, and its buckets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    start_http_server,
)

from shared.addresses import HostPort

log = structlog.get_logger()

# Seconds, from 50 microseconds to 30 seconds: a hop on loopback to a slow model.
SECONDS_BUCKETS = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
ROWS_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


def new_registry() -> CollectorRegistry:
    """A registry of its own for one service, with the process's own figures."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


@contextmanager
def exporter(registry: CollectorRegistry, address: HostPort | None) -> Iterator[None]:
    """Answer ``GET /metrics`` on ``address`` while inside; ``None`` opens nothing."""
    if address is None:
        yield
        return
    server, thread = start_http_server(address.port, address.host, registry)
    log.info("metrics listening", address=f"{address.host}:{server.server_port}")
    try:
        yield
    finally:
        # It looks twice a second whether it shall end, and at once when nobody can come any more.
        server.socket.shutdown(socket.SHUT_RDWR)
        server.shutdown()
        server.server_close()
        thread.join()
