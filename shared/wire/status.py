"""Domain errors and gRPC status codes: one total table, at the edge."""

from grpclib.const import Status

from shared import errors

# The error's class name travels beside the status, so that nothing is lost.
ERROR_NAME_KEY = "mindserve-error"
# The same as every gRPC library reads it: a google.rpc.Status with a google.rpc.ErrorInfo.
DETAILS_KEY = "grpc-status-details-bin"
_DETAILS_DOMAIN = b"mindserve"
_ERROR_INFO_TYPE = b"type.googleapis.com/google.rpc.ErrorInfo"

CODES: dict[type[errors.ServingError], Status] = {
    errors.ServingError: Status.INTERNAL,
    errors.InvalidRequest: Status.INVALID_ARGUMENT,
    errors.NotServed: Status.NOT_FOUND,
    errors.Refused: Status.UNAVAILABLE,
    errors.Overloaded: Status.RESOURCE_EXHAUSTED,
    errors.Draining: Status.UNAVAILABLE,
    errors.Unavailable: Status.UNAVAILABLE,
    errors.MemoryNotShared: Status.UNAVAILABLE,
    errors.DeadlineExceeded: Status.DEADLINE_EXCEEDED,
    errors.Cancelled: Status.CANCELLED,
    errors.StageFailed: Status.INTERNAL,
    errors.ExecutionFailed: Status.INTERNAL,
    errors.PeerLost: Status.UNAVAILABLE,
    errors.WorkerLost: Status.UNAVAILABLE,
    errors.AgentLost: Status.UNAVAILABLE,
    errors.DeviceHung: Status.UNAVAILABLE,
    errors.LoadFailed: Status.FAILED_PRECONDITION,
    errors.InternalError: Status.INTERNAL,
}

# For peers that name no error of ours: proxies, libraries, other servers.
_ERRORS: dict[Status, type[errors.ServingError]] = {
    Status.INVALID_ARGUMENT: errors.InvalidRequest,
    Status.NOT_FOUND: errors.NotServed,
    Status.UNIMPLEMENTED: errors.NotServed,
    Status.RESOURCE_EXHAUSTED: errors.Overloaded,
    Status.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    Status.CANCELLED: errors.Cancelled,
    Status.UNAVAILABLE: errors.PeerLost,
}


class OtherStatus(Exception):
    """A handler that knows gRPC, but not our errors, ends its call with this status."""

    def __init__(self, code: Status, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


# Clients take headers of 8 KB; a message may repeat what a caller sent, however long.
_LONGEST_MESSAGE = 1000
_BY_NUMBER = {code.value: code for code in Status}


def error_of(number: int, details: str, name: str | None) -> errors.ServingError:
    """The domain error for a failed call with this status and, from our services, error name."""
    code = _BY_NUMBER.get(number, Status.UNKNOWN)
    details = details or code.name
    if name is not None:
        return errors.rebuild(name, details)
    return _ERRORS.get(code, errors.InternalError)(details)


def told(failure: Exception) -> errors.ServingError:
    """What the caller hears of a failed handler."""
    if isinstance(failure, errors.ServingError):
        if len(failure.message) > _LONGEST_MESSAGE:
            cut = f"{failure.message[:_LONGEST_MESSAGE]} ... (cut)"
            return errors.rebuild(type(failure).__name__, cut)
        return failure
    # The text of an unforeseen exception may name anything: it stays in the log.
    return errors.InternalError("internal error; the server's log has the details")


def number_of(failure: errors.ServingError | OtherStatus) -> int:
    """The number of the status that a failed call ends with."""
    code = failure.code if isinstance(failure, OtherStatus) else CODES[type(failure)]
    number: int = code.value
    return number


def details_of(failure: errors.ServingError) -> bytes:
    """A failure as ``google.rpc.Status``, its class name as the reason of an ErrorInfo.

    Source: https://github.com/googleapis/googleapis/tree/master/google/rpc
    """
    reason = _field(1, type(failure).__name__.encode()) + _field(2, _DETAILS_DOMAIN)
    detail = _field(1, _ERROR_INFO_TYPE) + _field(2, reason)
    code = bytes((1 << 3, number_of(failure)))
    return code + _field(2, failure.message.encode()) + _field(3, detail)


def _field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes, text or a message."""
    head, size = bytearray((number << 3 | 2,)), len(content)
    while size >= 0x80:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + content
