"""ResNet-50, and weights for those who have not trained it."""

import mindspore as ms
import numpy as np
from mindspore import nn


def convolution(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.SequentialCell:
    """With its batch norm."""
    return nn.SequentialCell(
        nn.Conv2d(inputs, outputs, size, stride, pad_mode="pad", padding=size // 2),
        nn.BatchNorm2d(outputs),
    )


class Bottleneck(nn.Cell):
    """Three convolutions beside a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.narrow = nn.SequentialCell(convolution(inputs, width, 1), nn.ReLU())
        self.wide = nn.SequentialCell(convolution(width, width, 3, stride), nn.ReLU())
        self.last = convolution(width, outputs, 1)
        self.shortcut = nn.SequentialCell()
        if stride != 1 or inputs != outputs:
            self.shortcut = convolution(inputs, outputs, 1, stride)
        self.relu = nn.ReLU()

    def construct(self, x):
        return self.relu(self.last(self.wide(self.narrow(x))) + self.shortcut(x))


class ResNet50(nn.Cell):
    """float32 [N, 3, 224, 224] to scores [N, classes]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, pad_mode="same")]
        inputs = 64
        for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(blocks):
                layers.append(Bottleneck(inputs, width, 1 if number else stride))
                inputs = 4 * width
        self.layers = nn.SequentialCell(layers)
        self.classes = nn.Dense(2048, classes)

    def construct(self, x):
        return self.classes(self.layers(x).mean((2, 3)))


def fill(net: nn.Cell) -> None:
    """Random weights that keep the size of what passes through, the same each time."""
    chance = np.random.default_rng(1)
    for parameter in net.get_parameters():
        if parameter.ndim > 1:
            deviation = np.sqrt(2 / np.prod(parameter.shape[1:]))
            values = chance.normal(0, deviation, parameter.shape)
        elif parameter.name.endswith("bias"):
            values = np.zeros(parameter.shape)
        else:  # of a batch norm, which begins with ones and zeros
            continue
        parameter.set_data(ms.Parameter(ms.Tensor(values.astype(np.float32))))
