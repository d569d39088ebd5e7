"""The network in MindSpore: a decoder of four layers, with and without a cache of keys and values.

To be run in graph mode. Weights are those of ``weights.npz`` after ``load``.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops
from mindspore.common.initializer import Normal, initializer

from examples.llm.attention import Attention, heads_first, heads_last
from examples.llm.part import WHOLE, Part
from examples.llm.sizes import (
    EPSILON,
    HIDDEN,
    LAYERS,
    RANK,
    VOCABULARY,
    WIDTH,
)

FAR = 1 << 20
"""Beyond every position."""


def dense(inputs: int, outputs: int, scale: float = 1.0) -> nn.Dense:
    deviation = scale / np.sqrt(inputs)
    return nn.Dense(inputs, outputs, has_bias=False, weight_init=Normal(deviation))


class Adapters(nn.Cell):
    """What low-rank adapters add to a product: [B, T, W] and int32 [B] to [B*T, 3W].

    Of a part of the network they add to the part's elements.

    Their matrices lie in two stacks, from which each row takes those of its adapter; the first of
    either stack is zero, for rows without one.
    """

    def __init__(self, number: int, part: Part) -> None:
        super().__init__()
        self.width = 3 * part.width
        inwards = initializer(Normal(1 / np.sqrt(WIDTH)), (1 + number, WIDTH, RANK))
        self.inwards = ms.Parameter(inwards, name="inwards")
        outwards = initializer("zeros", (1 + number, RANK, self.width))
        self.outwards = ms.Parameter(outwards, name="outwards")
        self.times = ops.BatchMatMul()

    def construct(self, x, adapter):
        narrow = self.times(x, ops.gather(self.inwards, adapter, 0))
        return self.times(narrow, ops.gather(self.outwards, adapter, 0)).reshape(-1, self.width)


class Layer(nn.Cell):
    """Attention and a feed-forward block, each beside a shortcut.

    What they add to it is the sum over all parts of the network.
    """

    def __init__(self, adapters: int, part: Part) -> None:
        super().__init__()
        self.width = part.width
        shrunk = 1 / np.sqrt(2 * LAYERS)
        self.norm1 = nn.LayerNorm((WIDTH,), epsilon=EPSILON)
        self.qkv = dense(WIDTH, 3 * part.width)
        self.adapters = Adapters(adapters, part) if adapters else None
        self.attention = Attention()
        self.out = dense(part.width, WIDTH, shrunk)
        self.norm2 = nn.LayerNorm((WIDTH,), epsilon=EPSILON)
        self.up = dense(WIDTH, part.inner)
        self.down = dense(part.inner, WIDTH, shrunk)
        self.relu = nn.ReLU()
        # A rank on its own has nobody to wait for.
        self.sum = ops.AllReduce() if part.ranks > 1 else nn.Identity()

    def construct(self, x, size, bias, keys=None, values=None, adapter=None):
        """x float32 [B*T, W], bias [B, H, T, S+T] to what follows x, and new keys and values."""
        rows, length = size
        normed = self.norm1(x)
        mixed = self.qkv(normed)
        if adapter is not None:
            mixed = mixed + self.adapters(normed.reshape(rows, length, WIDTH), adapter)
        query, new_keys, new_values = ops.split(mixed, self.width, 1)
        query = heads_first(query, rows, length)
        new_keys = heads_first(new_keys, rows, length)
        new_values = heads_first(new_values, rows, length)
        seen = self.attention(query, new_keys, new_values, bias, keys, values)
        x = x + self.sum(self.out(heads_last(seen, rows, length)))
        inner = self.relu(self.up(self.norm2(x)))
        return x + self.sum(self.down(inner * inner)), new_keys, new_values


class Decoder(nn.Cell):
    """tokens, positions int32 [B, T] to logits float32 [B, T, V], all of it computed again.

    The processes of several parts compute it together.
    """

    def __init__(self, adapters: int = 0, part: Part = WHOLE) -> None:
        super().__init__()
        self.part = part
        self.embedding = ms.Parameter(
            initializer(Normal(0.02), (VOCABULARY, WIDTH), ms.float32), name="embedding"
        )
        self.layers = nn.CellList([Layer(adapters, part) for _ in range(LAYERS)])
        self.norm = nn.LayerNorm((WIDTH,), epsilon=EPSILON)
        self.slopes = ms.Tensor(part.slopes.reshape(1, -1, 1, 1))
        self.score = ops.MatMul(transpose_b=True)

    def construct(self, tokens, positions, adapter=None):
        rows, length = tokens.shape
        bias = self.bias_of(positions, positions)
        x = self.embed(tokens)
        for layer in self.layers:
            x, _, _ = layer(x, (rows, length), bias, None, None, adapter)
        return self.logits(x).reshape(rows, length, VOCABULARY)

    def embed(self, tokens):
        return ops.gather(self.embedding, tokens.reshape(-1), 0)

    def logits(self, x):
        return self.score(self.norm(x), self.embedding)

    def bias_of(self, positions, seen):
        """What is added to scores: tokens at positions [B, T] look at [B, N], -1 is no token."""
        distances = positions.expand_dims(2) - seen.expand_dims(1)
        visible = ops.logical_and(distances >= 0, seen.expand_dims(1) >= 0)
        bias = -self.slopes * distances.expand_dims(1).astype(ms.float32)
        return ops.select(visible.expand_dims(1), bias, HIDDEN)


class Extend(nn.Cell):
    """The graphs of a server: T tokens of each row, behind the keys and values of earlier ones.

    tokens, positions int32 [B, T]; for each layer keys, values float32 [B, H, S, D]; with
    adapters one more input, int32 [B]. To logits float32 [B, T, V]; for each layer the keys and
    values float32 [B, H, T, D] of the tokens; with ``argmax`` the ids int32 [B, T] of the largest
    logits. A token sees the cached positions before the first of its row, and the tokens of this
    call at positions up to its own.
    """

    def __init__(self, decoder: Decoder, argmax: bool = False) -> None:
        super().__init__()
        self.decoder = decoder
        self.with_argmax = argmax
        self.argmax = ops.Argmax(-1)
        self.first = ops.ReduceMin()

    def construct(  # named one by one, because the file keeps the names
        self, tokens, positions,
        keys0, values0, keys1, values1, keys2, values2, keys3, values3, adapter=None,
    ):  # fmt: skip
        rows, length = tokens.shape
        bias = self.decoder.bias_of(positions, self.seen(positions, keys0.shape[2]))
        x = self.decoder.embed(tokens)
        cached = (keys0, values0, keys1, values1, keys2, values2, keys3, values3)
        outputs = ()
        for number, layer in enumerate(self.decoder.layers):
            keys, values = cached[2 * number], cached[2 * number + 1]
            x, keys, values = layer(x, (rows, length), bias, keys, values, adapter)
            outputs = (*outputs, keys, values)
        logits = self.decoder.logits(x)
        outputs = (logits.reshape(rows, length, VOCABULARY), *outputs)
        if self.with_argmax:
            outputs = (*outputs, self.argmax(logits).reshape(rows, length))
        return outputs

    def seen(self, positions, before):
        """The positions of what is cached and of the tokens themselves, int32 [B, S+T]."""
        first = self.first(ops.select(positions >= 0, positions, FAR), 1).expand_dims(1)
        cached = ops.arange(before, dtype=ms.int32).expand_dims(0)
        cached = ops.select(cached < first, cached, ops.full_like(cached, -1))
        return ops.cat((cached, positions), 1)


def load(net: Decoder, *paths: Path) -> None:
    """Give a Decoder its weights, or its part of them; adapters that no file has add nothing.

    Raises ValueError when a weight is missing or has no place.
    """
    arrays = {name: array for path in paths for name, array in np.load(path).items()}
    named = {each.name: each for each in net.get_parameters()}
    needed = {name for name in named if ".adapters." not in name}
    if not needed <= arrays.keys() <= named.keys():
        wrong = sorted((needed - arrays.keys()) | (arrays.keys() - named.keys()))
        raise ValueError(f"weights do not fit the network: {', '.join(wrong)}")
    for name, array in arrays.items():
        own = net.part.cut(name, array.astype(np.float32))
        named[name].set_data(ms.Tensor(np.ascontiguousarray(own)))
