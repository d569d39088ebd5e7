"""Calls the graphs that compute tokens, and keeps what they give in the cache."""

import time
from collections.abc import Sequence as Several
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.agent.backends import LoadedModel
from services.agent.cores import Cores
from services.agent.generation.cache import Floats, Used, WorkingCache
from services.agent.generation.graphs import Bucket, Graphs
from services.agent.generation.sequences import Sequence
from services.agent.generation.steps import Row

Rows = Several[tuple[Row, Sequence]]
Ints = NDArray[np.int32]


class Result(NamedTuple):
    """What a graph gave."""

    rows: list[int]
    """Which row of the graph each row of the step was."""
    logits: Floats
    """[B, T, V]"""
    likeliest: NDArray[np.int32] | None
    """[B, T], if it says so."""


class Calls:
    """The graphs of one model on one cache; arrays for inputs are used again and again."""

    def __init__(
        self,
        model: LoadedModel,
        graphs: Graphs,
        cache: WorkingCache,
        cores: Cores,
        decode_cores: int,
    ) -> None:
        self._model = model
        self._graphs = graphs
        self._cache = cache
        self._cores = cores
        self._decode_cores = decode_cores
        self.seconds = 0.0
        """How long graphs took; whoever asks sets it back."""
        self._inputs = [
            (
                np.zeros((bucket.rows, bucket.tokens), np.int32),
                np.full((bucket.rows, bucket.tokens), -1, np.int32),
                np.zeros(bucket.rows, np.int32),
            )
            for bucket in graphs.buckets
        ]

    def run(self, number: int, rows: Rows, used: Used) -> Result:
        """Compute the rows' tokens; ``used`` tells how many tokens each slot holds."""
        bucket = self._graphs.buckets[number]
        decodes = number >= self._graphs.first_decode
        at, caches = self._placed(bucket, rows, used, decodes=decodes)
        inputs = self._filled(number, rows, at)
        self._cores.use(self._decode_cores if decodes else 0)
        began = time.perf_counter()
        outputs: list[Any] = self._model.execute(number, [*inputs[:2], *caches, *inputs[2:]])
        self.seconds += time.perf_counter() - began
        arrays = len(self._cache.arrays)
        self._keep(bucket, rows, at, outputs[1 : 1 + arrays], used)
        return Result(at, outputs[0], outputs[-1] if bucket.fused_argmax else None)

    def _placed(
        self, bucket: Bucket, rows: Rows, used: Used, *, decodes: bool
    ) -> tuple[list[int], list[Floats]]:
        """Which row of the graph each row takes, and the caches that it reads."""
        cache = self._cache
        slots = [row.slot for row, _ in rows]
        if decodes and bucket.length != cache.length:
            held = used()
            # A longer sequence whose prompt is still being computed keeps its room.
            if all(tokens <= bucket.length for _, tokens in held):
                cache.move(bucket.length, held)
        first = cache.first_slot(bucket, slots)
        if first is not None:
            return [slot - first for slot in slots], cache.view(bucket, first)
        wanted = [(row.slot, row.position) for row, _ in rows]
        return list(range(len(rows))), cache.gather(bucket, wanted)

    def _filled(self, number: int, rows: Rows, at: list[int]) -> tuple[Ints, ...]:
        tokens, positions, adapters = self._inputs[number]
        positions.fill(-1)
        if tokens.shape[1] == 1:
            tokens[at, 0] = [sequence.tokens[row.position] for row, sequence in rows]
            positions[at, 0] = [row.position for row, _ in rows]
        else:
            for (row, sequence), b in zip(rows, at, strict=True):
                end = row.position + row.length
                known = sequence.tokens[row.position : end]
                count = row.length + len(row.speculated)
                tokens[b, :count] = [*known, *row.speculated]
                positions[b, :count] = np.arange(row.position, row.position + count)
        if not self._graphs.kind.adapters:
            return tokens, positions
        adapters[at] = [sequence.adapter for _, sequence in rows]
        return tokens, positions, adapters

    def _keep(
        self, bucket: Bucket, rows: Rows, at: list[int], new: list[Floats], used: Used
    ) -> None:
        """Write what is new where the next call looks for it."""
        cache = self._cache
        end = max([row.position + row.length + len(row.speculated) for row, _ in rows])
        if end > cache.length:
            cache.reserve(end, used)
        if bucket.tokens == 1 and end <= cache.length:
            slots = [row.slot for row, _ in rows]
            cache.write_token(slots, [row.position for row, _ in rows], new, at)
            for row, sequence in rows:
                sequence.computed = row.position + 1
            return
        for (row, sequence), b in zip(rows, at, strict=True):
            cache.write(row.slot, row.position, new, b, row.length + len(row.speculated))
            sequence.computed = row.position + row.length
