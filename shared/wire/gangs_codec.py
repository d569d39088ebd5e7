"""What a launcher of agents asks a worker about its gangs, to protobuf and back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from protos.serving.v1 import gangs_pb2 as pb
from shared.errors import InvalidRequest
from shared.rank_table import RankPlace
from shared.servable import ServableVersion

_Read = TypeVar("_Read", bound=Message)

SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Gangs"].full_name
DESCRIBE_PATH, AWAIT_PATH = (f"/{SERVICE_NAME}/{method}" for method in ("Describe", "Await"))


@dataclass(frozen=True, slots=True)
class GangDescription:
    """A distributed model as agents must be started for it."""

    what: ServableVersion
    stage_size: int
    places: tuple[RankPlace, ...]
    """Where each rank belongs, in order of rank."""


@dataclass(frozen=True, slots=True)
class GangProgress:
    """Whether some gang serves, and what is to be said of the next one."""

    serves: bool
    text: str


def write_describe_request() -> bytes:
    """A question for ranks and places."""
    return pb.DescribeGangRequest().SerializeToString()


def write_description(description: GangDescription) -> bytes:
    """A GangDescription."""
    return pb.GangDescription(
        servable=description.what.servable,
        version=description.what.version,
        rank_size=len(description.places),
        stage_size=description.stage_size,
        places=[
            pb.RankPlace(ip=place.ip, device_id=place.device_id) for place in description.places
        ],
    ).SerializeToString()


def read_description(message: bytes) -> GangDescription:
    """What a worker answered; raises InvalidRequest."""
    told = _read(pb.GangDescription.FromString, message)
    places = (RankPlace(rank, each.ip, each.device_id) for rank, each in enumerate(told.places))
    return GangDescription(
        ServableVersion(told.servable, told.version), told.stage_size, tuple(places)
    )


def write_await_request(wait_seconds: float) -> bytes:
    """A question for progress, to be answered after ``wait_seconds`` if not before."""
    return pb.AwaitGangRequest(wait_seconds=wait_seconds).SerializeToString()


def read_await_request(message: bytes) -> float:
    """How many seconds the answer may take; raises InvalidRequest."""
    return _read(pb.AwaitGangRequest.FromString, message).wait_seconds


def write_progress(progress: GangProgress) -> bytes:
    """An AwaitGangReply."""
    return pb.AwaitGangReply(serves=progress.serves, progress=progress.text).SerializeToString()


def read_progress(message: bytes) -> GangProgress:
    """What a worker answered; raises InvalidRequest."""
    told = _read(pb.AwaitGangReply.FromString, message)
    return GangProgress(told.serves, told.progress)


def _read(parse: Callable[[bytes], _Read], message: bytes) -> _Read:
    try:
        return parse(message)
    except DecodeError as failure:
        raise InvalidRequest("not a message about gangs") from failure
