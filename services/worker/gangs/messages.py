"""A batch as the ranks of a gang get it, and as one stage passes it on to the next."""

from collections.abc import Sequence

from protos.serving.v1 import execution_pb2
from services.worker.agents.memory import SharedMemory
from shared.arena import Column, aligned, join
from shared.servable import ServableVersion
from shared.stage_graph import ModelCall
from shared.wire.exchange_messages import write_region
from shared.wire.tensor_codec import read_placed, write_tensor


def write_head(what: ServableVersion, call: ModelCall, rows: int, epoch: int) -> bytes:
    """What every agent of a gang must know of a batch."""
    return execution_pb2.ExecuteHead(
        servable=what.servable, version=what.version, model=call.model, rows=rows, epoch=epoch
    ).SerializeToString()


class RankRequests:
    """The requests of one stage for one batch: ranks differ in what they take and give."""

    def __init__(self, request: execution_pb2.ExecuteRequest) -> None:
        self._request = request
        self._written: dict[tuple[bool, bool], bytes] = {}

    @classmethod
    def of(
        cls, columns: Sequence[Column], subgraph: int, memory: SharedMemory | None
    ) -> "RankRequests":
        """What the first stage takes; raises OSError when ``memory`` has no room for it."""
        request = execution_pb2.ExecuteRequest(subgraph=subgraph)
        if memory is None:
            request.inputs.extend(write_tensor(join(column)) for column in columns)
        else:
            placed, request.output_offset = memory.write(columns)
            request.inputs.extend(map(write_tensor, placed))
            request.region.CopyFrom(write_region(memory.told))
        return cls(request)

    def after(self, reply: bytes) -> "RankRequests":
        """What the next stage takes: the outputs of this one, where they are.

        In shared memory they stay in their place: no byte of them passes through here.
        """
        outputs = execution_pb2.ExecuteReply.FromString(reply).outputs
        request = execution_pb2.ExecuteRequest(subgraph=self._request.subgraph, inputs=outputs)
        if self._request.HasField("region"):
            request.region.CopyFrom(self._request.region)
            request.output_offset = aligned(max(each.end for each in read_placed(outputs)))
        return RankRequests(request)

    def written(self, *, inputs: bool, outputs: bool) -> bytes:
        """The request of a rank that takes inputs or none, and gives outputs or none."""
        found = self._written.get((inputs, outputs))
        if found is None:
            request = execution_pb2.ExecuteRequest()
            request.CopyFrom(self._request)
            request.without_outputs = not outputs
            if not inputs:
                del request.inputs[:]
            found = self._written[inputs, outputs] = request.SerializeToString()
        return found
