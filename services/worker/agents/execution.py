"""Batches for agents as messages: ``ExecuteHead``, ``ExecuteRequest`` and ``ExecuteReply``."""

from collections.abc import Sequence
from functools import lru_cache

from protos.serving.v1 import execution_pb2
from services.worker.agents.memory import SharedMemory
from shared.arena import Column, join
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array
from shared.wire.exchange_messages import write_region
from shared.wire.tensor_codec import read_placed, read_tensors, write_tensor

EXECUTION_PATH = "/mindserve.serving.v1.Execution/Exchange"


@lru_cache
def _head(what: ServableVersion, model: str, rows: int) -> bytes:
    return execution_pb2.ExecuteHead(
        servable=what.servable, version=what.version, model=model, rows=rows
    ).SerializeToString()


def write_request(
    what: ServableVersion,
    call: ModelCall,
    columns: Sequence[Column],
    rows: int,
    memory: SharedMemory | None,
) -> tuple[bytes, bytes]:
    """Head and request of one batch for one model, its tensors in ``memory`` or inside.

    Raises OSError when the memory has no room for them.
    """
    request = execution_pb2.ExecuteRequest(subgraph=call.subgraph)
    if memory is None:
        request.inputs.extend(write_tensor(join(column)) for column in columns)
    else:
        placed, request.output_offset = memory.write(columns)
        request.inputs.extend(map(write_tensor, placed))
        request.region.CopyFrom(write_region(memory.told))
    return _head(what, call.model, rows), request.SerializeToString()


def read_reply(message: bytes, memory: SharedMemory | None) -> list[Array]:
    """The model's outputs."""
    outputs = execution_pb2.ExecuteReply.FromString(message).outputs
    return read_tensors(outputs) if memory is None else memory.read(read_placed(outputs))
