"""(pure) What a scheduler goes by, from what was declared and from the graphs that were loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from services.worker.generation.buckets import Bucket
from services.worker.generation.rules import SchedulerRules
from shared.errors import LoadFailed
from shared.membership import ModelSignature, SubgraphSignature
from shared.servable import Generation, LanguageGraphs

_TOKEN_BUDGET = 256
# What steps carry of caches at most: so long others wait for it.
_TRANSFER_BYTES = 4 << 20
_FLOAT_BYTES = 4
_TOKENS, _KEYS, _LOGITS = 0, 2, 0


@dataclass(frozen=True, slots=True)
class Declared:
    """The rules, and which graph has which shape."""

    rules: SchedulerRules
    graphs: Mapping[Bucket, int]
    token_bytes: int
    """What the cache of one token takes."""
    patience_seconds: float
    """How long texts wait for agents that are missing."""


def declared_of(
    what: str,
    graphs: LanguageGraphs,
    generation: Generation,
    signature: ModelSignature,
    handicaps: tuple[float, ...] = (0.0,),
) -> Declared:
    """Raises LoadFailed when graphs are too small for what was declared."""
    shapes: list[Bucket] = []
    vocabulary = token_bytes = 0
    for subgraph in signature.subgraphs[: graphs.prefill + graphs.decode]:
        rows, tokens = subgraph.inputs[_TOKENS].dims
        shapes.append(Bucket(rows, tokens, subgraph.inputs[_KEYS].dims[2]))
        vocabulary = subgraph.outputs[_LOGITS].dims[-1]
        token_bytes = _cache_bytes(subgraph) // (rows * shapes[-1].length)
    said: dict[str, Any] = dict(generation.rules)
    # What is not said goes by the slots: a step must have room for more than one token of each.
    said.setdefault("token_budget", max(_TOKEN_BUDGET, 2 * generation.slots))
    said.setdefault("transfer_tokens", max(1, _TRANSFER_BYTES // max(1, token_bytes)))
    try:
        rules = SchedulerRules(
            slots=generation.slots,
            context=generation.max_model_len,
            blocks=graphs.blocks,
            block_size=graphs.block_size,
            prefill_buckets=tuple(shapes[: graphs.prefill]),
            decode_buckets=tuple(shapes[graphs.prefill :]),
            vocabulary=vocabulary,
            handicaps=handicaps,
            **said,
        )
    except ValueError as failure:
        raise LoadFailed(f"{what}: {failure}") from failure
    # Of graphs of one shape the first is used.
    numbers = {shape: number for number, shape in reversed(list(enumerate(shapes)))}
    return Declared(rules, numbers, token_bytes, generation.patience_seconds)


def _cache_bytes(subgraph: SubgraphSignature) -> int:
    """What the caches take that a graph reads; an adapter's number may follow them."""
    pairs = (len(subgraph.inputs) - _KEYS) // 2
    caches = subgraph.inputs[_KEYS : _KEYS + 2 * pairs]
    return sum(_FLOAT_BYTES * prod(each.dims) for each in caches)
