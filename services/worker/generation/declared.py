"""(pure) What a scheduler goes by, from what was declared and from the graphs that were loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.worker.generation.buckets import Bucket
from services.worker.generation.rules import SchedulerRules
from shared.errors import LoadFailed
from shared.membership import ModelSignature
from shared.servable import Generation, LanguageGraphs

_TOKEN_BUDGET = 256
_TOKENS, _KEYS, _LOGITS = 0, 2, 0


@dataclass(frozen=True, slots=True)
class Declared:
    """The rules, and which graph has which shape."""

    rules: SchedulerRules
    graphs: Mapping[Bucket, int]


def declared_of(
    what: str,
    graphs: LanguageGraphs,
    generation: Generation,
    signature: ModelSignature,
    handicaps: tuple[float, ...] = (0.0,),
) -> Declared:
    """Raises LoadFailed when graphs are too small for what was declared."""
    shapes: list[Bucket] = []
    vocabulary = 0
    for subgraph in signature.subgraphs[: graphs.prefill + graphs.decode]:
        rows, tokens = subgraph.inputs[_TOKENS].dims
        shapes.append(Bucket(rows, tokens, subgraph.inputs[_KEYS].dims[2]))
        vocabulary = subgraph.outputs[_LOGITS].dims[-1]
    said: dict[str, Any] = dict(generation.rules)
    # What is not said goes by the slots: a step must have room for more than one token of each.
    said.setdefault("token_budget", max(_TOKEN_BUDGET, 2 * generation.slots))
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
    return Declared(rules, numbers)
