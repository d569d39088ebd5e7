"""Batches as a worker writes them and reads their outputs, for tests of agents."""

from collections.abc import Sequence
from typing import Any

from protos.serving.v1 import execution_pb2
from services.agent.device.work import Work
from services.worker.agents.execution import read_reply, request_for, write_head
from shared.arena import Placed
from shared.regions import Region
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.tensors import Array
from shared.wire.exchange_messages import write_region
from shared.wire.tensor_codec import read_placed, write_tensor


def work_of(
    what: ServableVersion,
    model: str,
    inputs: Sequence[Array],
    rows: int,
    *,
    subgraph: int = 0,
    epoch: int = 0,
    without_outputs: bool = False,
) -> Work:
    """A batch whose tensors travel inside; with an epoch, as a rank of a gang gets it."""
    head = write_head(what, model, rows, epoch)
    request = request_for(ModelCall(model, subgraph), inputs, None)
    request.without_outputs = without_outputs
    return Work(what, model, rows, head, request.SerializeToString(), epoch)


def outputs_of(reply: bytes) -> list[Any]:
    """The arrays that travelled inside."""
    return read_reply(reply, None)


def shared_work(
    what: ServableVersion, model: str, rows: int, region: Region, placed: Placed, end: int
) -> Work:
    """A batch whose tensor lies in shared memory."""
    request = execution_pb2.ExecuteRequest(
        inputs=[write_tensor(placed)],
        region=write_region(region),
        output_offset=end,
    )
    return Work(what, model, rows, write_head(what, model, rows), request.SerializeToString())


def placed_of(reply: bytes) -> list[Placed]:
    """Where the outputs lie."""
    return read_placed(execution_pb2.ExecuteReply.FromString(reply).outputs)
