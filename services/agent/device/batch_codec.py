"""A batch as the device process reads it, and its outputs as the worker will read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import DecodeError

from protos.serving.v1 import execution_pb2
from shared.arena import Placed
from shared.errors import InvalidRequest
from shared.regions import Region
from shared.tensors import Array
from shared.wire.exchange_messages import read_region
from shared.wire.tensor_codec import read_placed, read_tensors, write_tensor

_read_head = lru_cache(execution_pb2.ExecuteHead.FromString)
"""Many batches have the same head."""


@dataclass(frozen=True, slots=True)
class SharedInputs:
    """Inputs that lie in the worker's memory, and from where on outputs may."""

    region: Region
    placed: Sequence[Placed]
    output_offset: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch for one model; inputs are arrays, or lie in memory of the worker."""

    model: str
    subgraph: int
    rows: int
    inputs: Sequence[Array] | SharedInputs
    without_outputs: bool = False
    """Another rank returns them."""


def model_of(head: bytes) -> str:
    """The model that an ExecuteHead names; raises InvalidRequest when it is none."""
    try:
        return execution_pb2.ExecuteHead.FromString(head).model
    except DecodeError as failure:
        raise InvalidRequest("not an ExecuteHead") from failure


def read_batch(head: bytes, payload: bytes) -> Batch:
    """Read an ExecuteHead and an ExecuteRequest; raises InvalidRequest when they are none."""
    try:
        about = _read_head(head)
        request = execution_pb2.ExecuteRequest.FromString(payload)
    except DecodeError as failure:
        raise InvalidRequest("not an ExecuteRequest") from failure
    inputs: Sequence[Array] | SharedInputs
    if request.HasField("region"):
        region = read_region(request.region)
        inputs = SharedInputs(region, read_placed(request.inputs), request.output_offset)
    else:
        inputs = read_tensors(request.inputs)
    return Batch(about.model, request.subgraph, about.rows, inputs, request.without_outputs)


def write_outputs(outputs: Sequence[Array] | Sequence[Placed]) -> bytes:
    """An ExecuteReply: arrays with their bytes, or where they lie in the worker's memory."""
    return execution_pb2.ExecuteReply(outputs=map(write_tensor, outputs)).SerializeToString()
