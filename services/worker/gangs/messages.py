"""A batch as the ranks of a gang get it, and as one stage passes it on to the next."""

from protos.serving.v1 import execution_pb2
from shared.arena import aligned
from shared.wire.tensor_codec import read_placed


class RankRequests:
    """The requests of one stage for one batch: ranks differ in what they take and give."""

    def __init__(self, request: execution_pb2.ExecuteRequest) -> None:
        self._request = request
        self._written: dict[tuple[bool, bool], bytes] = {}

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
