"""The caches that one engine's steps carry: in memory that agents on this host map, or inside."""

from collections.abc import Callable
from dataclasses import dataclass

from protos.serving.v1 import exchange_pb2
from protos.serving.v1 import generation_pb2 as pb
from services.worker.agents.memory import SHARED_FROM_BYTES
from services.worker.generation.sources import Memory, Parcel
from services.worker.generation.steps import Export, Import, Step
from shared.arena import Placed
from shared.errors import ExecutionFailed
from shared.regions import HEADER_BYTES, OwnRegion
from shared.wire.exchange_messages import write_region


@dataclass(frozen=True, slots=True)
class InMessage:
    """Bytes that came in an answer."""

    content: bytes

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.content)

    def release(self) -> None:
        """Nothing is to be done."""

    def lose(self) -> None:
        """Nothing is to be done."""


class InRegion:
    """Bytes that lie behind the header of a region, which is used again when they are released."""

    def __init__(self, region: OwnRegion, size: int, free: Callable[[OwnRegion], None]) -> None:
        self._region = region
        self._free = free
        self.size = size
        """How many they are."""

    @property
    def told(self) -> exchange_pb2.Region:
        """As a message names the region."""
        return write_region(self._region.told)

    @property
    def content(self) -> bytes:
        """A copy, for an agent that does not reach this memory."""
        (found,) = self._region.arena.read([Placed(HEADER_BYTES, "uint8", (self.size,))])
        return found.tobytes()

    def release(self) -> None:
        """Something else may be written there."""
        self._free(self._region)

    def lose(self) -> None:
        """Somebody may still look at it."""
        self._region.close()


class Transfers:
    """Writes what steps give away and take in, and delivers what came; one step at a time."""

    def __init__(self, token_bytes: int, *, shared_from_bytes: int = SHARED_FROM_BYTES) -> None:
        self._token_bytes = token_bytes
        self._shared_from_bytes = shared_from_bytes
        self._free: list[OwnRegion] = []
        self._closed = False
        self._lent: list[InRegion | None] = []
        """By the exports of the step that is at work: where its agent writes."""

    def write(self, step: Step, *, shares_memory: bool) -> bytes:
        """More of a Step: its exports and imports, which its agent finds in memory if it can."""
        message = pb.Step()
        self._lent = [self._lend(each) if shares_memory else None for each in step.exports]
        for export, lent in zip(step.exports, self._lent, strict=True):
            region = None if lent is None else lent.told
            message.exports.add(
                slot=export.slot, position=export.first, count=export.count, region=region
            )
        for each in step.imports:
            message.imports.append(_import(each, shares_memory=shares_memory))
        return message.SerializeToString()

    def _lend(self, export: Export) -> InRegion | None:
        size = export.count * self._token_bytes
        if size < self._shared_from_bytes:
            return None
        try:
            region = self._free.pop() if self._free else OwnRegion()
        except OSError:
            return None
        return InRegion(region, size, self._give_back)

    def deliver(self, step: Step, answer: bytes) -> None:
        """Hand what a step gave away to those who asked for it.

        Raises ExecutionFailed when the answer says something else than the step asked for.
        """
        if not step.exports:
            return
        exported = pb.StepOutcome.FromString(answer).exported
        if len(exported) != len(step.exports):
            raise ExecutionFailed(
                f"step {step.number}: the agent answered with {len(exported)} parts of its cache,"
                f" expected {len(step.exports)}"
            )
        memories = [
            self._found(export, lent, content)
            for export, lent, content in zip(step.exports, self._lent, exported, strict=True)
        ]
        self._lent = []
        for export, memory in zip(step.exports, memories, strict=True):
            export.to.deliver(Parcel(export.first, export.count, memory))

    def _found(self, export: Export, lent: InRegion | None, content: bytes) -> Memory:
        if lent is not None:
            return lent
        if len(content) != export.count * self._token_bytes:
            raise ExecutionFailed(
                f"the agent answered with {len(content)} bytes of its cache of {export.count}"
                f" tokens, expected {self._token_bytes} for each"
            )
        return InMessage(content)

    def lose(self) -> None:
        """The step came to nothing: its agent may still write."""
        lent, self._lent = self._lent, []
        for each in lent:
            if each is not None:
                each.lose()

    def close(self) -> None:
        """Let go of all memory, of what others still read when they are done."""
        self.lose()
        self._closed = True
        while self._free:
            self._free.pop().close()

    def _give_back(self, region: OwnRegion) -> None:
        if self._closed:
            region.close()
        else:
            self._free.append(region)


def _import(each: Import, *, shares_memory: bool) -> pb.Import:
    parcel = each.parcel
    memory = parcel.memory
    written = pb.Import(slot=each.slot, position=parcel.first, count=parcel.tokens)
    if shares_memory and isinstance(memory, InRegion):
        written.region.CopyFrom(memory.told)
    else:
        assert isinstance(memory, InRegion | InMessage)
        written.data = memory.content
    return written
