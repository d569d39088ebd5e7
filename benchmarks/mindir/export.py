"""``python export.py FOLDER``: LeNet and ResNet-50 as MINDIR, with their answers to one image.

Weights are random, the same each time; a batch may have any number of rows.
"""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn

IMAGES = {"lenet": (1, 32, 32), "resnet50": (3, 224, 224)}


class LeNet(nn.Cell):
    """LeNet-5: two convolutions, three dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.SequentialCell(
            nn.Conv2d(1, 6, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 16, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Flatten(), nn.Dense(400, 120, activation="relu"),
            nn.Dense(120, 84, activation="relu"), nn.Dense(84, 10),
        )  # fmt: skip

    def construct(self, x):
        return self.layers(x)


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
    """ResNet-50 with 1000 classes."""

    def __init__(self) -> None:
        super().__init__()
        layers = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, pad_mode="same")]
        inputs = 64
        for width, blocks, stride in ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)):
            for number in range(blocks):
                layers.append(Bottleneck(inputs, width, 1 if number else stride))
                inputs = 4 * width
        self.layers = nn.SequentialCell(layers)
        self.classes = nn.Dense(2048, 1000)

    def construct(self, x):
        return self.classes(self.layers(x).mean((2, 3)))


def fill(net: nn.Cell) -> None:
    """Weights that keep the size of what passes through, drawn in a fixed order."""
    chance = np.random.default_rng(1)
    for parameter in net.get_parameters():
        if parameter.ndim > 1:
            deviation = np.sqrt(2 / np.prod(parameter.shape[1:]))
            values = chance.normal(0, deviation, parameter.shape).astype(np.float32)
            parameter.set_data(Parameter(Tensor(values)))


def main(folder: Path) -> None:
    """Write NAME.mindir and NAME.npy for every model."""
    ms.set_context(mode=ms.GRAPH_MODE)
    for name, net in (("lenet", LeNet()), ("resnet50", ResNet50())):
        fill(net)
        net.set_train(False)
        shape = IMAGES[name]
        example = Tensor(shape=[None, *shape], dtype=ms.float32)
        ms.export(net, example, file_name=str(folder / name), file_format="MINDIR")
        cell = nn.GraphCell(ms.load(str(folder / f"{name}.mindir")))
        count = int(np.prod(shape))
        image = ((np.arange(count, dtype=np.float32) % 1000 + 1) / 1000).reshape(1, *shape)
        np.save(folder / f"{name}.npy", cell(Tensor(image)).asnumpy())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
