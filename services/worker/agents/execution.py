"""Batches for agents as messages: ``ExecuteRequest`` and ``ExecuteReply``."""

from collections.abc import Sequence

from protos.serving.v1 import execution_pb2
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array
from shared.wire.tensor_codec import read_tensors, write_tensor

EXECUTION_PATH = "/mindserve.serving.v1.Execution/Exchange"


def write_request(
    what: ServableVersion, call: ModelCall, inputs: Sequence[Array], rows: int
) -> bytes:
    """One batch for one model."""
    return execution_pb2.ExecuteRequest(
        servable=what.servable,
        version=what.version,
        model=call.model,
        subgraph=call.subgraph,
        rows=rows,
        inputs=map(write_tensor, inputs),
    ).SerializeToString()


def read_reply(message: bytes) -> list[Array]:
    """The model's outputs."""
    return read_tensors(execution_pb2.ExecuteReply.FromString(message).outputs)
