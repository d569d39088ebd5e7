"""(pure) The header blocks with which a server answers, fails a call or refuses what is none."""

from shared.errors import ServingError
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.headers import HeaderWriter
from shared.wire.status import ERROR_NAME_KEY

# Statuses that a server gives without a handler's error; the others are in ``shared.wire.status``.
UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 2, 4, 8, 12, 13

_FIRST = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_writer = HeaderWriter()
FIRST = _writer.write(_FIRST)
GOOD_END = _writer.write(((b"grpc-status", b"0"),))


def failure_block(
    status: int, reason: str, kind: type[ServingError] | None = None, *, begun: bool
) -> bytes:
    """The end of a failed call; when its answer has not begun, first block and end in one."""
    headers: tuple[tuple[bytes, bytes], ...] = () if begun else _FIRST
    headers += ((b"grpc-status", b"%d" % status), (b"grpc-message", grpc.write_message(reason)))
    if kind is not None:
        headers += ((ERROR_NAME_KEY.encode(), kind.__name__.encode()),)
    return _writer.write(headers)


def http_refusal_block(http_status: int, reason: str) -> bytes:
    """The whole answer to a request that is no gRPC call."""
    return _writer.write(
        (
            (b":status", b"%d" % http_status),
            (b"grpc-status", b"%d" % UNKNOWN),
            (b"grpc-message", grpc.write_message(reason)),
        )
    )
