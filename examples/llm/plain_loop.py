"""Greedy generation without a server, in two ways that must agree: what servers are compared with.

``recomputed`` runs the whole text through the network for each token; ``Loop`` calls prefill and
decode graphs. Both take the network as a function: MindSpore's from ``graphs``, or ``NumpyNet``'s.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from examples.llm.buckets import Bucket
from examples.llm.cache import Cache
from examples.llm.sizes import CONTEXT, LAYERS

Ints = NDArray[np.int32]
Logits = Callable[..., NDArray[np.float32]]
Extend = Callable[..., list[NDArray[np.float32]]]


def recomputed(
    logits_of: Logits,
    prompt: Sequence[int],
    number: int,
    adapter: int | None = None,
    length: int = CONTEXT,
) -> list[int]:
    """``number`` tokens behind ``prompt``, each after all before it went through the network.

    logits_of: ``NumpyNet.logits`` or ``graphs.Whole``, called with ``length`` tokens, of which
    those that are not there yet have no position: MindSpore compiles for each new shape.
    """
    tokens = np.zeros((1, length), np.int32)
    tokens[0, : len(prompt)] = prompt
    chosen = () if adapter is None else (np.array([adapter], np.int32),)
    for end in range(len(prompt), len(prompt) + number):
        positions = np.arange(length, dtype=np.int32)[None]
        positions[:, end:] = -1
        tokens[0, end] = logits_of(tokens, positions, *chosen)[0, end - 1].argmax()
    following: list[int] = tokens[0, len(prompt) : len(prompt) + number].tolist()
    return following


class Loop:
    """Continues prompts together: prefill in chunks, then one decode step for each token.

    prefill and decode: graphs, or ``NumpyNet.extend``, for the same number of rows; ``bucket`` is
    that of prefill. Rows without a prompt get position -1.
    """

    def __init__(self, prefill: Extend, decode: Extend, bucket: Bucket) -> None:
        self._prefill = prefill
        self._decode = decode
        self._bucket = bucket
        self.cache = Cache(bucket)
        self._adapter: Ints | None = None

    def generate(
        self, prompts: Sequence[Sequence[int]], number: int, adapters: Sequence[int] | None = None
    ) -> list[list[int]]:
        """``number`` greedy tokens behind each prompt; as many prompts as rows, or fewer.

        Raises ValueError when the cache is too short.
        """
        longest = max(map(len, prompts)) + number - 1
        if longest > self._bucket.cached:
            raise ValueError(f"{longest} tokens do not fit a cache of {self._bucket.cached}")
        missing = [[]] * (self._bucket.rows - len(prompts))
        self._adapter = None
        if adapters is not None:
            self._adapter = np.array([*adapters, *(0 for _ in missing)], np.int32)
        following = self.prefill([*prompts, *missing])
        lengths = np.array([len(prompt) or -1 for prompt in [*prompts, *missing]], np.int32)
        columns = [following]
        for step in range(number - 1):
            positions = np.where(lengths >= 0, lengths + step, -1).astype(np.int32)
            following = self.decode(following, positions)
            columns.append(following)
        return np.stack(columns, 1)[: len(prompts)].tolist()

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Ints:
        """The first token behind each prompt, [B]; an empty prompt's means nothing."""
        rows, chunk = self._bucket.rows, self._bucket.tokens
        following = np.zeros(rows, np.int32)
        for begin in range(0, max(map(len, prompts)), chunk):
            tokens = np.zeros((rows, chunk), np.int32)
            positions = np.full((rows, chunk), -1, np.int32)
            for row, prompt in enumerate(prompts):
                part = prompt[begin : begin + chunk]
                tokens[row, : len(part)] = part
                positions[row, : len(part)] = np.arange(begin, begin + len(part))
            logits = self._run(self._prefill, tokens, positions)
            for row, prompt in enumerate(prompts):
                if begin < len(prompt) <= begin + chunk:
                    following[row] = logits[row, len(prompt) - begin - 1].argmax()
        return following

    def decode(self, tokens: Ints, positions: Ints) -> Ints:
        """One step: the tokens [B] at positions [B], -1 for rows that rest, to the next ones."""
        logits = self._run(self._decode, tokens[:, None], positions[:, None])
        return logits[:, 0].argmax(-1).astype(np.int32)

    def _run(self, extend: Extend, tokens: Ints, positions: Ints) -> NDArray[np.float32]:
        chosen = () if self._adapter is None else (self._adapter,)
        outputs = extend(tokens, positions, self.cache.arrays, *chosen)
        self.cache.write(positions, outputs[1 : 1 + 2 * LAYERS])
        return outputs[0]
