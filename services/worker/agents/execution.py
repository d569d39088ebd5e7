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
def write_head(what: ServableVersion, model: str, rows: int, epoch: int = 0) -> bytes:
    """What an agent must know of a batch; ``epoch`` is that of the gang that it is meant for."""
    return execution_pb2.ExecuteHead(
        servable=what.servable, version=what.version, model=model, rows=rows, epoch=epoch
    ).SerializeToString()


def request_for(
    call: ModelCall, columns: Sequence[Column], memory: SharedMemory | None
) -> execution_pb2.ExecuteRequest:
    """A batch, its tensors in ``memory`` or inside.

    Raises MemoryNotShared when the memory has no room for them.
    """
    request = execution_pb2.ExecuteRequest(subgraph=call.subgraph)
    if memory is None:
        request.inputs.extend(write_tensor(join(column)) for column in columns)
    else:
        placed, request.output_offset = memory.write(columns)
        request.inputs.extend(map(write_tensor, placed))
        request.region.CopyFrom(write_region(memory.told))
    return request


def read_reply(message: bytes, memory: SharedMemory | None) -> list[Array]:
    """The model's outputs."""
    outputs = execution_pb2.ExecuteReply.FromString(message).outputs
    return read_tensors(outputs) if memory is None else memory.read(read_placed(outputs))
