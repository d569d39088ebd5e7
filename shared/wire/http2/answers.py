"""(pure) The header blocks with which a server answers, fails a call or refuses what is none."""

from shared.errors import ServingError
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.headers import HeaderWriter
from shared.wire.status import DETAILS_KEY, ERROR_NAME_KEY, details_of

# Statuses that a server gives without a handler's error; the others are in ``shared.wire.status``.
CANCELLED, UNKNOWN, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED = 1, 2, 4, 8
UNIMPLEMENTED, INTERNAL = 12, 13

_FIRST = ((b":status", b"200"), (b"content-type", b"application/grpc"))
_ERROR_NAME, _DETAILS = ERROR_NAME_KEY.encode(), DETAILS_KEY.encode()
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
        details = grpc.write_binary(details_of(kind(reason)))
        headers += ((_ERROR_NAME, kind.__name__.encode()), (_DETAILS, details))
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
