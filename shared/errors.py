"""Everything that can go wrong with a request, as domain words.

    ServingError
    ├── InvalidRequest       the caller must change the request
    │   └── NotServed        no such servable, version or method here
    ├── Refused              not begun: safe to send again, here or elsewhere
    │   ├── Overloaded       a bounded place is full
    │   ├── Draining         this member is finishing and takes nothing new
    │   ├── Unavailable      nobody can serve this right now
    │   └── MemoryNotShared  the tensors must travel inside the message
    ├── DeadlineExceeded     the caller's time ran out
    ├── Cancelled            the caller left
    ├── StageFailed          a Python stage of the servable failed
    ├── ExecutionFailed      the backend failed on this batch
    ├── PeerLost             the service that was working on it is gone
    │   ├── WorkerLost
    │   └── AgentLost        the agent or its device process ended
    │       └── DeviceHung   the watchdog ended it
    ├── LoadFailed           a servable version cannot be loaded
    └── InternalError        our own fault

``retryable`` says whether sending the same request again can help without any
risk that it runs twice.  Messages name servable, version, method, stage, what
was expected and what came; never an internal path or address.
"""

from typing import ClassVar


class ServingError(Exception):
    """A request failed for a reason its caller may read."""

    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        # What others say may be no Unicode, as names of files are; nobody could send it on.
        self.message = message.encode(errors="backslashreplace").decode()
        super().__init__(self.message)


def text_of(failure: BaseException) -> str:
    """What an exception of others' code says, or that it cannot say it."""
    try:
        return str(failure)
    except Exception as worse:
        return f"(its text cannot be had: {type(worse).__name__})"


class InvalidRequest(ServingError):
    """The request itself is wrong; the same request will always fail."""


class NotServed(InvalidRequest):
    """The servable, version or method does not exist here."""


class Refused(ServingError):
    """Execution has not begun and will not begin here."""

    retryable = True


class Overloaded(Refused):
    """A bounded place is full."""


class Draining(Refused):
    """The member finishes what it has and takes nothing new."""


class Unavailable(Refused):
    """Nobody can serve this right now."""


class MemoryNotShared(Refused):
    """The tensors' memory cannot be reached from here; they must travel inside the message."""


class DeadlineExceeded(ServingError):
    """The caller's time ran out."""


class Cancelled(ServingError):
    """The caller left."""


class StageFailed(ServingError):
    """A Python stage of the servable raised or returned something unusable."""


class ExecutionFailed(ServingError):
    """The backend could not execute this batch."""


class PeerLost(ServingError):
    """The service that was working on the request is gone; it may have run."""


class WorkerLost(PeerLost):
    """The connection to the worker broke with the request in its hands."""


class AgentLost(PeerLost):
    """The agent or its device process ended with the batch in its hands."""


class DeviceHung(AgentLost):
    """The watchdog ended a device process that did not come back from a call."""


class LoadFailed(ServingError):
    """A servable version cannot be loaded."""


class InternalError(ServingError):
    """A fault of ours; the log has the details under the request id."""


# Load balancers and retries must see these as statuses of the call; other
# failures are answered inside the reply, instance by instance.
REAL_STATUSES = (Refused, DeadlineExceeded, Cancelled, PeerLost)


def _tree(root: type[ServingError]) -> dict[str, type[ServingError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


BY_NAME = _tree(ServingError)


def rebuild(name: str, message: str) -> ServingError:
    """The error that a peer named, as this process's own class."""
    return BY_NAME.get(name, InternalError)(message)
