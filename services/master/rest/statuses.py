"""(pure) Errors and HTTP status codes: one total table, and what only HTTP can get wrong."""

from collections.abc import Sequence
from reprlib import Repr
from typing import ClassVar

from shared import errors

_LONGEST_SHOWN = 100
# The whole of it may be megabytes, or nested deeper than repr() goes.
_short = Repr()
_short.maxstring = _short.maxother = 2 * _LONGEST_SHOWN
_short.maxlist = _short.maxdict = _LONGEST_SHOWN // 3


class HttpFault(errors.InvalidRequest):
    """A request that is wrong as HTTP, whatever it asks for."""

    # What may still be on its way is not read, so the connection is of no more use.
    ends_connection: ClassVar[bool] = False


class MethodNotAllowed(HttpFault):
    """The path exists, for other HTTP methods."""


class Forbidden(HttpFault):
    """Whoever asks may not."""


class Unauthorized(HttpFault):
    """Whoever asks did not show the key."""


class Unprocessable(HttpFault):
    """What is asked for is out of bounds, as TGI says it."""


class InvalidField(HttpFault):
    """One field of a JSON body is wrong."""

    def __init__(self, name: str, expected: str, got: object) -> None:
        shown = _short.repr(got)
        shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
        super().__init__(f"{name}: expected {expected}, got {shown}")
        self.name = name


class TooLarge(HttpFault):
    """The body is larger than the master takes."""

    ends_connection = True


class UnknownCoding(HttpFault):
    """The body is compressed in a way that is not known here."""

    ends_connection = True


class TooSlow(HttpFault):
    """The body did not come in time."""

    ends_connection = True


STATUSES: dict[type[errors.ServingError], int] = {
    errors.ServingError: 500,
    errors.InvalidRequest: 400,
    HttpFault: 400,
    MethodNotAllowed: 405,
    Forbidden: 403,
    Unauthorized: 401,
    InvalidField: 400,
    Unprocessable: 422,
    TooLarge: 413,
    TooSlow: 408,
    UnknownCoding: 415,
    errors.NotServed: 404,
    errors.Refused: 503,
    errors.Overloaded: 429,
    errors.Draining: 503,
    errors.Unavailable: 503,
    errors.MemoryNotShared: 503,
    errors.DeadlineExceeded: 504,
    errors.Cancelled: 499,
    errors.StageFailed: 500,
    errors.ExecutionFailed: 500,
    errors.PeerLost: 502,
    errors.WorkerLost: 502,
    errors.AgentLost: 502,
    errors.DeviceHung: 502,
    errors.LoadFailed: 500,
    errors.InternalError: 500,
}

# A bounded place empties as fast as the model runs; a worker is back in about a second.
RETRY_AFTER_SECONDS = 1


def status_of(failure: errors.ServingError) -> int:
    """The status of a request that failed as a whole."""
    return STATUSES[type(failure)]


def status_of_all(failures: Sequence[errors.ServingError | None]) -> int:
    """The status of a reply with one outcome (None: ok) per instance.

    200 as soon as one instance succeeded; otherwise the gravest of their statuses.
    """
    if not failures or None in failures:
        return 200
    return max(status_of(failure) for failure in failures if failure is not None)


def may_be_sent_again(failure: errors.ServingError) -> bool:
    """Whether to name a time after which the same request may be sent."""
    return isinstance(failure, errors.Refused)


def told(failure: Exception) -> errors.ServingError:
    """What the caller hears of a failure."""
    if isinstance(failure, errors.ServingError):
        return failure
    # The text of an unforeseen exception may name anything: it stays in the log.
    return errors.InternalError("internal error; the server's log has the details")
