"""(pure) What an agent does in one step, and what came of it.

The fields of a step are in the order in which an agent works through them: what earlier
steps computed is stored before its slot is given to another sequence, and loaded after.
"""

from dataclasses import dataclass
from typing import NamedTuple

from services.worker.generation.buckets import Bucket
from services.worker.generation.sources import Parcel, Receiver
from shared.errors import ServingError


@dataclass(frozen=True, slots=True)
class Store:
    """A full block that is copied from a slot's cache into the block store, to be shared."""

    slot: int
    index: int
    """Which block of the slot, counted from its beginning."""
    block: int
    """Where it goes in the store."""


@dataclass(frozen=True, slots=True)
class Start:
    """A sequence that takes a slot, with what the store holds of its beginning."""

    slot: int
    sequence: int
    """Its number."""
    loads: tuple[int, ...]
    """The blocks that are copied from the store to the beginning of the slot's cache."""


@dataclass(frozen=True, slots=True)
class Export:
    """Cache of a slot that is given away, to go on with another agent."""

    slot: int
    first: int
    """The position of its first token."""
    count: int
    to: Receiver


@dataclass(frozen=True, slots=True)
class Import:
    """Cache that another agent computed; it goes behind what is in the slot's."""

    slot: int
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens of one sequence that a prefill graph computes."""

    slot: int
    tokens: tuple[int, ...]
    first: int
    """The position of the first of them; what is before it is in the slot's cache."""
    samples: int
    """After how many of its last tokens a token is sampled: 0 in the midst of a prompt, 1 at its
    end, all when proposed tokens are verified. Sampling goes on as long as what is sampled is
    the chunk's next token."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """One call of a prefill graph; each chunk is a row."""

    bucket: Bucket
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Decode:
    """One call of a decode graph: each slot's last token is computed, the next is sampled."""

    bucket: Bucket
    slots: tuple[int, ...]
    """In ascending order; the other rows of the bucket hold no token."""
    positions: tuple[int, ...]
    """Where each slot's last token lies in its sequence."""


@dataclass(frozen=True, slots=True)
class Step:
    """What an agent does before it answers."""

    number: int
    stores: tuple[Store, ...] = ()
    freed: tuple[int, ...] = ()
    """Slots whose sequences ended or were preempted."""
    starts: tuple[Start, ...] = ()
    imports: tuple[Import, ...] = ()
    prefills: tuple[Prefill, ...] = ()
    decode: Decode | None = None
    exports: tuple[Export, ...] = ()
    """Also of what the step computes."""

    @property
    def tokens(self) -> int:
        """How many tokens it computes."""
        chunks = (chunk for call in self.prefills for chunk in call.chunks)
        decoded = len(self.decode.slots) if self.decode else 0
        return decoded + sum(len(chunk.tokens) for chunk in chunks)


class Logprobs(NamedTuple):
    """How likely a token was to the model itself, and which ones were the most likely."""

    logprob: float
    rank: int
    """1: the most likely."""
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one slot's row: the tokens that were sampled, or why there are none."""

    tokens: tuple[int, ...] = ()
    error: ServingError | None = None
    complete: bool = False
    """Whether nothing may follow, by the sequence's grammar."""
    logprobs: tuple[Logprobs, ...] = ()
    """One for each token, if they were asked for."""
    prompt_logprobs: tuple[Logprobs, ...] = ()
    """One for each token of the prompt behind the row's tokens, if they were asked for."""
