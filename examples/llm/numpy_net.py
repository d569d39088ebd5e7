"""The same network in NumPy, for machines without MindSpore, and as a second opinion."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.llm.sizes import EPSILON, HEAD, HEADS, HIDDEN, LAYERS, SLOPES, WEIGHTS, WIDTH

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

FAR = 1 << 20
"""Beyond every position."""


class NumpyNet:
    """Takes and gives what the graphs of ``net.Extend`` do, of any B, T and S."""

    def __init__(self, *paths: Path) -> None:
        """paths: ``weights.npz``, and ``adapters.npz`` for calls with adapters."""
        self._weights = {
            name: array.astype(np.float32)
            for path in paths or (WEIGHTS,)
            for name, array in np.load(path).items()
        }

    def extend(
        self, tokens: Ints, positions: Ints, caches: Sequence[Floats], adapter: Ints | None = None
    ) -> list[Floats]:
        """Logits [B, T, V], then new keys and values [B, H, T, D] of each layer.

        tokens, positions: [B, T], position -1 where there is none; caches: keys and values
        [B, H, S, D] of each layer in turn; adapter: [B], 0 for none.
        """
        bias = bias_of(positions, seen(positions, caches[0].shape[2]))
        x = self._weights["embedding"][tokens]
        outputs = []
        for layer in range(LAYERS):
            keys, values = caches[2 * layer : 2 * layer + 2]
            mixed = self._mix(layer, x, adapter).reshape(*tokens.shape, 3, HEADS, HEAD)
            query, new_keys, new_values = mixed.transpose(2, 0, 3, 1, 4)
            keys = np.concatenate((keys, new_keys), 2)
            values = np.concatenate((values, new_values), 2)
            outputs += [new_keys, new_values]
            x = self._feed(layer, x + self._dense(layer, "out", attend(query, keys, values, bias)))
        return [self._norm("norm", x) @ self._weights["embedding"].T, *outputs]

    def logits(self, tokens: Ints, positions: Ints, adapter: Ints | None = None) -> Floats:
        """Of all tokens, computed without a cache: [B, T, V]."""
        nothing = np.zeros((len(tokens), HEADS, 0, HEAD), np.float32)
        return self.extend(tokens, positions, [nothing] * (2 * LAYERS), adapter)[0]

    def _mix(self, layer: int, x: Floats, adapter: Ints | None) -> Floats:
        """Queries, keys and values in one product."""
        normed = self._norm(f"layers.{layer}.norm1", x)
        mixed = self._dense(layer, "qkv", normed)
        if adapter is not None:
            inwards = self._weights[f"layers.{layer}.adapters.inwards"][adapter]
            outwards = self._weights[f"layers.{layer}.adapters.outwards"][adapter]
            mixed = mixed + normed @ inwards @ outwards
        return mixed

    def _feed(self, layer: int, x: Floats) -> Floats:
        inner = np.maximum(self._dense(layer, "up", self._norm(f"layers.{layer}.norm2", x)), 0)
        return x + self._dense(layer, "down", inner * inner)

    def _dense(self, layer: int, name: str, x: Floats) -> Floats:
        return x @ self._weights[f"layers.{layer}.{name}.weight"].T

    def _norm(self, name: str, x: Floats) -> Floats:
        centred = x - x.mean(-1, keepdims=True)
        spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(EPSILON))
        return centred / spread * self._weights[f"{name}.gamma"] + self._weights[f"{name}.beta"]


def seen(positions: Ints, cached: int) -> Ints:
    """The positions of what is cached and of the tokens themselves, [B, S+T]; -1 is nothing."""
    first = np.where(positions >= 0, positions, FAR).min(1, keepdims=True)
    before = np.arange(cached, dtype=np.int32)[None]
    return np.concatenate((np.where(before < first, before, -1), positions), 1)


def bias_of(positions: Ints, seen: Ints) -> Floats:
    """What is added to scores: tokens at positions [B, T] look at [B, N]; [B, H, T, N]."""
    distances = (positions[:, :, None] - seen[:, None, :])[:, None]
    visible = (distances >= 0) & (seen[:, None, None] >= 0)
    return np.where(visible, -SLOPES[:, None, None] * distances, np.float32(HIDDEN))


def attend(query: Floats, keys: Floats, values: Floats, bias: Floats) -> Floats:
    """query [B, H, T, D], keys and values [B, H, N, D] to what is seen, [B, T, W]."""
    scores = query @ keys.swapaxes(2, 3) + bias
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return (shares @ values).transpose(0, 2, 1, 3).reshape(*query.shape[:1], -1, WIDTH)
