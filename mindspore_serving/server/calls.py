"""Calls of services from a script: one message, one answer, within so many seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Call = Callable[[str, bytes, float], bytes]
"""The method's path, a message, seconds; raises NotAnswered."""

_OPTIONS = (
    ("grpc.enable_http_proxy", 0),
    # What is called may be started long after it was called first.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class NotAnswered(Exception):
    """The service is not there, or refused, or its answer took too long."""


@contextmanager
def calling(address: str) -> Iterator[Call]:
    """Calls of the service at ``address``."""
    # Here, because servable_config.py imports this package too, and workers do without grpcio.
    import grpc  # noqa: PLC0415 (see above)

    with grpc.insecure_channel(address, options=_OPTIONS) as channel:

        def call(path: str, message: bytes, seconds: float) -> bytes:
            method: Callable[..., bytes] = channel.unary_unary(path)
            try:
                return method(message, timeout=seconds)
            except grpc.RpcError as failure:
                details: Callable[[], str] = getattr(failure, "details", lambda: "")
                raise NotAnswered(details()) from None

        yield call
