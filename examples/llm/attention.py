"""Attention over what is cached and what is new, for one token of each row and for several."""

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from examples.llm.sizes import HEAD, HEADS, WIDTH

OF_HEAD = np.repeat(np.eye(HEADS, dtype=np.float32), HEAD, 1).reshape(1, HEADS, WIDTH)
"""Which elements belong to which head."""


def heads_first(each):
    """[B, T, H, D] to [B, H, T, D], and back."""
    return each.transpose(0, 2, 1, 3)


class Attention(nn.Cell):
    """query, new keys and values float32 [B, T, H, D] to what they see, of the same shape.

    bias [B, H, T, S+T] is added to the scores; keys and values [B, S, H, D] are what was cached.
    """

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(-1)
        self.times = ops.BatchMatMul()
        self.times_transposed = ops.BatchMatMul(transpose_b=True)
        self.of_head = ms.Tensor(OF_HEAD)
        self.every_head = ms.Tensor(np.ones((1, 1, HEADS), np.float32))

    def construct(self, query, new_keys, new_values, bias, keys=None, values=None):
        if keys is None:
            return self.of_new(query, new_keys, new_values, bias)
        if query.shape[1] == 1:
            return self.of_one(query, new_keys, new_values, bias, keys, values)
        return self.of_several(query, new_keys, new_values, bias, keys, values)

    def of_new(self, query, new_keys, new_values, bias):
        query, new_keys = heads_first(query), heads_first(new_keys)
        new_values = heads_first(new_values)
        shares = self.softmax(self.times_transposed(query, new_keys) + bias)
        return heads_first(self.times(shares, new_values))

    def of_several(self, query, new_keys, new_values, bias, keys, values):
        before = keys.shape[1]
        query, new_keys = heads_first(query), heads_first(new_keys)
        new_values = heads_first(new_values)
        keys, values = heads_first(keys), heads_first(values)
        cached = self.times_transposed(query, keys)
        new = self.times_transposed(query, new_keys)
        shares = self.softmax(ops.cat((cached, new), -1) + bias)
        seen = self.times(shares[..., :before], values)
        seen = seen + self.times(shares[..., before:], new_values)
        return heads_first(seen)

    def of_one(self, query, new_keys, new_values, bias, keys, values):
        """Leaves the cache as it lies, since turning it round costs more than this multiplies.

        Each head gets a copy of the query that is zero outside the head's own elements, and
        takes its own elements from sums over all of them: [B, H, W] times [B, W, S].
        """
        rows, before = keys.shape[:2]
        query = query.reshape(rows, 1, WIDTH) * self.of_head
        cached = self.times_transposed(query, keys.reshape(rows, before, WIDTH))
        new = self.times_transposed(query, new_keys.reshape(rows, 1, WIDTH))
        shares = self.softmax(ops.cat((cached, new), -1) + bias.reshape(rows, HEADS, before + 1))
        seen = self.times(shares[..., :before], values.reshape(rows, before, WIDTH))
        seen = seen + shares[..., before:] * new_values.reshape(rows, 1, WIDTH)
        # A product, because a sum over this axis takes several times as long.
        ones = ops.broadcast_to(self.every_head, (rows, 1, HEADS))
        return self.times(ones, seen * self.of_head).reshape(rows, 1, HEADS, HEAD)
