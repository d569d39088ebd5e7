"""Exports small real models as MINDIR: ``python -m tests.device.models FOLDER``."""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore.train import mind_ir_pb2

from shared.tensors import ElementType
from tests.device.keys import KEYS, SEALED
from tests.device.weights import weights

KINDS = [kind for kind in ElementType if kind < ElementType.STRING]


class Add(nn.Cell):
    def construct(self, x1, x2):
        return x1 + x2


class Sub(nn.Cell):
    def construct(self, x1, x2):
        return x1 - x2


class Echo(nn.Cell):
    def construct(self, x1, x2):
        return x1, x2


class EchoAll(nn.Cell):
    def construct(self, a, b, c, d, e, f, g, h, i, j, k, m):
        return a, b, c, d, e, f, g, h, i, j, k, m


class Wave(nn.Cell):
    """Element by element, so the place in a batch cannot matter."""

    def construct(self, x):
        return ops.tanh(x) * 3 + x / 7


class Mlp(nn.Cell):
    def __init__(self, name):
        super().__init__()
        first, second = (Tensor(each) for each in weights(name))
        self.first = nn.Dense(
            first.shape[1], first.shape[0], weight_init=first, has_bias=False, activation="relu"
        )
        self.second = nn.Dense(second.shape[1], second.shape[0], weight_init=second, has_bias=False)

    def construct(self, x):
        return self.second(self.first(x))


class Conv(nn.Cell):
    def __init__(self):
        super().__init__()
        (kernel,) = weights("conv")
        self.conv = nn.Conv2d(3, 4, 3, pad_mode="valid", weight_init=Tensor(kernel))

    def construct(self, image):
        return self.conv(image)


def open_dims(*shape, dtype=ms.float32):
    return Tensor(shape=list(shape), dtype=dtype)


def fixed(*shape):
    return Tensor(np.zeros(shape, np.float32))


def models():
    """Each model by file name, with the inputs that it is exported for."""
    rows = open_dims(None, 2)
    every_kind = [open_dims(None, 2, dtype=getattr(ms, kind.dtype.name)) for kind in KINDS]
    return {
        "add": (Add(), rows, rows),
        "sub": (Sub(), rows, rows),
        "add_fours": (Add(), fixed(4, 3), fixed(4, 3)),
        "add_mixed": (Add(), open_dims(None, 2), fixed(4, 2)),
        "add_whole": (Add(), fixed(2, 2), fixed(2, 2)),
        "add_bias": (Add(), fixed(4, 3), fixed(3)),
        "echo_scalar": (Echo(), fixed(2, 2), fixed()),
        "add_open": (Add(), open_dims(None, None), open_dims(None, None)),
        "echo": (Echo(), rows, rows),
        "echo_all": (EchoAll(), *every_kind),
        "wave": (Wave(), open_dims(None, 5)),
        "mlp": (Mlp("mlp"), open_dims(None, 64)),
        "mlp_eights": (Mlp("mlp_eights"), fixed(8, 5)),
        "conv": (Conv(), open_dims(None, 3, 8, 8)),
        "conv_open": (Conv(), open_dims(None, 3, None, None)),
        "bfloat16": (Wave(), open_dims(None, 2, dtype=ms.bfloat16)),
    }


def main():
    ms.set_context(mode=ms.GRAPH_MODE)
    folder = Path(sys.argv[1])
    for name, (net, *inputs) in models().items():
        ms.export(net, *inputs, file_name=str(folder / name), file_format="MINDIR")
    for mode, key in KEYS.items():
        net, *inputs = models()["add"]
        file = str(folder / SEALED[mode])
        ms.export(net, *inputs, file_name=file, file_format="MINDIR", enc_key=key, enc_mode=mode)
    # In a folder of its own, which the export closes to everybody else.
    net, *inputs = models()["mlp_eights"]
    ms.export(net, *inputs, file_name=str(folder / "onnx" / "mlp_eights"), file_format="ONNX")
    lost = mind_ir_pb2.ModelProto.FromString((folder / "mlp.mindir").read_bytes())
    del lost.graph.parameter[:]
    (folder / "lost_weights.mindir").write_bytes(lost.SerializeToString())


if __name__ == "__main__":
    main()
