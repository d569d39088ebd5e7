"""Attention over what is cached and what is new, head by head."""

from mindspore import nn, ops

from examples.llm.sizes import HEAD


def heads_first(x, rows, length):
    """[B*T, W] to [B, H, T, D]."""
    if length == 1:
        # It lies so already.
        return x.reshape(rows, -1, 1, HEAD)
    return x.reshape(rows, length, -1, HEAD).transpose(0, 2, 1, 3)


def heads_last(x, rows, length):
    """[B, H, T, D] to [B*T, W]."""
    if length > 1:
        x = x.transpose(0, 2, 1, 3)
    return x.reshape(rows * length, -1)


class Attention(nn.Cell):
    """query, new keys and values float32 [B, H, T, D] to what they see, of the same shape.

    bias [B, H, T, S+T] is added to the scores; keys and values [B, H, S, D] are what was cached.
    """

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(-1)
        self.times = ops.BatchMatMul()
        self.times_transposed = ops.BatchMatMul(transpose_b=True)

    def construct(self, query, new_keys, new_values, bias, keys=None, values=None):
        new = self.times_transposed(query, new_keys)
        if keys is None:
            return self.times(self.softmax(new + bias), new_values)
        before = keys.shape[2]
        cached = self.times_transposed(query, keys)
        shares = self.softmax(ops.cat((cached, new), -1) + bias)
        of_new = shares[..., before:]
        seen = of_new * new_values if query.shape[2] == 1 else self.times(of_new, new_values)
        return seen + self.times(shares[..., :before], values)
