"""The network: each rank multiplies by its rows of the weight, all of them add up, and negate."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, nn, ops

ROWS, COLUMNS = 96, 16


class MatMul(nn.Cell):
    """-(x @ weight) of x with 96 columns, where all 96x16 weights are 0.5.

    Rank ``rank`` of ``ranks`` holds its rows of the weight alone, and takes its columns of x.
    """

    def __init__(self, rank, ranks):
        super().__init__()
        self.rows = ROWS // ranks
        self.first = rank * self.rows
        self.weight = Parameter(ms.Tensor(np.full((self.rows, COLUMNS), 0.5, np.float32)))
        self.matmul = ops.MatMul()
        self.sum = ops.AllReduce()
        self.neg = ops.Neg()

    def construct(self, x):
        part = x[:, self.first : self.first + self.rows]
        return self.neg(self.sum(self.matmul(part, self.weight)))
