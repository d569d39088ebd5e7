"""The network: each rank multiplies by its rows of the weight, all of them add up, and negate."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

ROWS, COLUMNS = 96, 16


class MatMul(nn.Cell):
    """x @ weight of x with 96 columns, where all 96x16 weights are 0.5; negated, if so wished.

    Rank ``rank`` of ``ranks`` holds its rows of the weight alone, and takes its columns of x.
    """

    def __init__(self, rank, ranks, *, negated):
        super().__init__()
        self.rows = ROWS // ranks
        self.first = rank * self.rows
        self.weight = Parameter(ms.Tensor(np.full((self.rows, COLUMNS), 0.5, np.float32)))
        self.matmul = ops.MatMul()
        # A rank on its own has nobody to meet.
        self.sum = ops.AllReduce() if ranks > 1 else nn.Identity()
        self.last = ops.Neg() if negated else nn.Identity()

    def construct(self, x):
        part = x[:, self.first : self.first + self.rows]
        return self.last(self.sum(self.matmul(part, self.weight)))


class Neg(nn.Cell):
    """What every rank of a second stage does with the sums of the first one."""

    def __init__(self):
        super().__init__()
        self.neg = ops.Neg()

    def construct(self, y):
        return self.neg(y)
