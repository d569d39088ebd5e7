"""(pure) Rows: what one step computes of each sequence, and how graphs are called for them."""

from collections.abc import Sequence as Several
from dataclasses import dataclass

from services.worker.generation.buckets import Bucket, Buckets
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.sequences import Sequence, State
from services.worker.generation.steps import Chunk, Decode, Prefill


@dataclass(frozen=True, slots=True)
class Row:
    """Tokens of one sequence that a step computes."""

    sequence: Sequence
    first: int
    """The position of the first of them."""
    tokens: tuple[int, ...]
    samples: int
    """After how many of the last ones a token is sampled."""

    @property
    def decodes(self) -> bool:
        """Whether it goes through a decode graph."""
        return len(self.tokens) == 1 and self.sequence.state is State.DECODING

    def computed(self, sampled: int) -> int:
        """How many tokens are in the cache, and belong there, when so many were sampled."""
        return self.first + len(self.tokens) - self.samples + sampled


class Packing:
    """Chooses the calls of graphs in which a step's rows are computed."""

    def __init__(self, rules: SchedulerRules) -> None:
        self._rules = rules
        self._prefill: Buckets = rules.prefill_graphs()
        self._decode: Buckets = rules.decode_graphs()

    def decode(self, rows: Several[Row]) -> Decode | None:
        """One call for all rows that decode: the smallest graph that reaches the highest slot."""
        decoding = [row for row in rows if row.decodes]
        if not decoding:
            return None
        decoding.sort(key=lambda row: row.sequence.slot)
        slots = tuple(row.sequence.slot for row in decoding)
        positions = tuple(row.first for row in decoding)
        bucket = _found(self._decode, slots[-1] + 1, 1, max(positions))
        return Decode(bucket, slots, positions)

    def prefills(self, rows: Several[Row]) -> tuple[Prefill, ...]:
        """The cheapest calls for all other rows: those of like length share one."""
        chunks = [
            Chunk(row.sequence.slot, row.tokens, row.first, row.samples)
            for row in rows
            if not row.decodes
        ]
        chunks.sort(key=lambda chunk: len(chunk.tokens), reverse=True)
        # What the first chunks cost at least, and how many of them the last call takes.
        costs, cuts = [0], [0]
        for stop in range(1, len(chunks) + 1):
            cost, cut = min(
                (costs[start] + self._rules.call_tokens + bucket.batch * bucket.tokens, start)
                for start in range(max(0, stop - self._rules.max_prefill_batch), stop)
                if (bucket := self._bucket(chunks[start:stop])) is not None
            )
            costs.append(cost)
            cuts.append(cut)
        calls = []
        stop = len(chunks)
        while stop:
            together = chunks[cuts[stop] : stop]
            bucket = self._bucket(together)
            assert bucket is not None
            calls.append(Prefill(bucket, tuple(together)))
            stop = cuts[stop]
        return tuple(reversed(calls))

    def _bucket(self, chunks: Several[Chunk]) -> Bucket | None:
        return self._prefill.fit(
            batch=len(chunks),
            tokens=len(chunks[0].tokens),
            length=max(chunk.first for chunk in chunks),
        )


def _found(buckets: Buckets, batch: int, tokens: int, length: int) -> Bucket:
    bucket = buckets.fit(batch=batch, tokens=tokens, length=length)
    assert bucket is not None, "the rules were checked"
    return bucket
