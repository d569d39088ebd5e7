"""A step of a language model as the ranks of a gang get it, and what they say of it.

Parts of a message may follow one another: what ranks must know comes behind what an engine wrote.
"""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from protos.serving.v1 import execution_pb2
from protos.serving.v1 import generation_pb2 as pb
from shared.errors import ExecutionFailed

Chosen = Sequence[pb.Chosen]


def write_head(head: bytes, epoch: int) -> bytes:
    """An ExecuteHead for an agent alone, meant for the ranks of that epoch."""
    return head + execution_pb2.ExecuteHead(epoch=epoch).SerializeToString()


def write_step(step: bytes, told: Chosen, *, compares: bool) -> bytes:
    """A Step for an agent alone, with what came of the one before; nothing if it forgets that."""
    known = () if pb.Step.FromString(step).forget else told
    return step + pb.Step(told=known, compares=compares).SerializeToString()


class StepAnswer:
    """What one rank said of a step; raises ExecutionFailed when it is no answer."""

    def __init__(self, message: bytes) -> None:
        try:
            self._outcome = pb.StepOutcome.FromString(message)
        except DecodeError as failure:
            raise ExecutionFailed("the agent's answer to a step is none") from failure

    @property
    def likeliest(self) -> list[int]:
        """The tokens that it found to be the most likely."""
        return list(self._outcome.likeliest)

    @property
    def chosen(self) -> Chosen:
        """What other ranks must be told of it: all that changes how texts go on."""
        return [
            pb.Chosen(
                slot=each.slot, tokens=each.tokens, failure=each.failure, complete=each.complete
            )
            for each in self._outcome.chosen
            if each.tokens or each.failure or each.complete
        ]
