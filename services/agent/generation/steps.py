"""(pure) What a worker has a language model do in one step, and what came of it.

As in ``protos/serving/v1/generation.proto``, which says what each field means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from shared.regions import Region

_NO_BIAS: Mapping[int, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Grammar:
    """What a text must be.

    ``form`` is ``json_schema``, ``regex``, ``choices`` or ``any_json``; ``texts`` are the choices,
    or the schema or the expression alone.
    """

    form: str
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of one sequence are chosen; by default the most likely ones are."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=lambda: _NO_BIAS)
    seed: int = 0
    min_tokens: int = 0
    stop_ids: tuple[int, ...] = ()
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    allowed_ids: tuple[int, ...] = ()
    grammar: Grammar | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """A sequence takes a slot."""

    slot: int
    tokens: list[int]
    blocks: list[int]
    prompt_tokens: int
    adapter: int
    sampling: Sampling


class Row(NamedTuple):
    """Tokens of one sequence that a graph computes."""

    slot: int
    position: int
    length: int
    """How many tokens of the sequence; ``count`` in the protocol."""
    speculated: Sequence[int] = ()
    samples: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """One call of a graph."""

    graph: int
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class StoreBlock:
    """A full block of a slot's cache goes to the block store."""

    slot: int
    index: int
    block: int


class Export(NamedTuple):
    """Cache of a slot goes to the worker, in its memory or in the answer."""

    slot: int
    position: int
    tokens: int
    region: Region | None = None


class Import(NamedTuple):
    """Cache that another agent computed, as bytes or in the worker's memory."""

    slot: int
    position: int
    tokens: int
    content: bytes | Region = b""


class TokenLogprobs(NamedTuple):
    """How likely a token was to the model itself, and which ones were the most likely."""

    logprob: float
    rank: int
    ids: list[int]
    logprobs: list[float]


@dataclass(slots=True)
class Chosen:
    """What came out for one slot."""

    slot: int
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    prompt_logprobs: list[TokenLogprobs] = field(default_factory=list)
    failure: str = ""
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """Done in the order of its fields."""

    id: int
    forget: bool = False
    stores: Sequence[StoreBlock] = ()
    freed: Sequence[int] = ()
    starts: Sequence[Start] = ()
    imports: Sequence[Import] = ()
    prefills: Sequence[Forward] = ()
    decode: Forward | None = None
    exports: Sequence[Export] = ()
    told: Sequence[Chosen] = ()
    """What came of the step before: for gangs, and before all else."""
    compares: bool = False


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What came of a step."""

    id: int
    chosen: list[Chosen]
    device_seconds: float
    exported: Sequence[bytes] = ()
    """One for each export; empty where it is in the worker's memory."""
    likeliest: Sequence[int] = ()
