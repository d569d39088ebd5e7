"""Orders to a repository, and what it answers, to protobuf and back."""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from protos.serving.v1 import repository_pb2 as pb
from shared.errors import InvalidRequest
from shared.repository import Inventory, Order, VersionState, VersionStatus
from shared.servable import ServableVersion

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Repository"].full_name
INDEX_PATH, LOAD_PATH, UNLOAD_PATH = (
    f"/{SERVICE_NAME}/{method}" for method in ("Index", "Load", "Unload")
)

_STATES = {
    VersionState.UNLOADED: pb.VERSION_STATE_UNLOADED,
    VersionState.LOADING: pb.VERSION_STATE_LOADING,
    VersionState.READY: pb.VERSION_STATE_READY,
    VersionState.RETIRING: pb.VERSION_STATE_RETIRING,
    VersionState.FAILED: pb.VERSION_STATE_FAILED,
}
_STATES_BY_NUMBER = {number: state for state, number in _STATES.items()}


def write_index_request(servable: str = "") -> bytes:
    """A question for what there is of one servable, or of all."""
    return pb.IndexRequest(servable=servable).SerializeToString()


def read_index_request(message: bytes) -> str:
    """The servable asked for, empty for all; raises InvalidRequest."""
    try:
        return pb.IndexRequest.FromString(message).servable
    except DecodeError as failure:
        raise InvalidRequest("not an IndexRequest") from failure


def write_order(order: Order) -> bytes:
    """A LoadRequest; an UnloadRequest looks the same."""
    return pb.LoadRequest(servable=order.servable, version=order.version).SerializeToString()


def read_order(message: bytes) -> Order:
    """What is to be loaded or unloaded; raises InvalidRequest."""
    try:
        request = pb.LoadRequest.FromString(message)
    except DecodeError as failure:
        raise InvalidRequest("not a LoadRequest or UnloadRequest") from failure
    if not request.servable:
        raise InvalidRequest("servable: expected a name, got nothing")
    return Order(request.servable, request.version)


def write_inventory(versions: Sequence[VersionStatus], silent: Sequence[str] = ()) -> bytes:
    """A RepositoryReply."""
    return pb.RepositoryReply(
        versions=[
            pb.VersionStatus(
                servable=each.what.servable,
                version=each.what.version,
                state=_STATES[each.state],
                detail=each.detail,
                worker=each.worker,
            )
            for each in versions
        ],
        silent_workers=silent,
    ).SerializeToString()


def read_inventory(message: bytes) -> Inventory:
    """What a repository answered; a state of a later release reads as unloaded."""
    reply = pb.RepositoryReply.FromString(message)
    versions = [
        VersionStatus(
            ServableVersion(each.servable, each.version),
            _STATES_BY_NUMBER.get(each.state, VersionState.UNLOADED),
            each.detail,
            each.worker,
        )
        for each in reply.versions
    ]
    return Inventory(versions, tuple(reply.silent_workers))
