"""LeNet-5, for images of one channel."""

from mindspore import nn


class LeNet(nn.Cell):
    """Two convolutions, three dense layers: float32 [N, 1, 32, 32] to scores [N, 10]."""

    def __init__(self):
        super().__init__()
        self.layers = nn.SequentialCell(
            nn.Conv2d(1, 6, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Conv2d(6, 16, 5, pad_mode="valid"), nn.ReLU(), nn.MaxPool2d(2, 2),
            nn.Flatten(), nn.Dense(400, 120, activation="relu"),
            nn.Dense(120, 84, activation="relu"), nn.Dense(84, 10),
        )  # fmt: skip

    def construct(self, x):
        return self.layers(x)
