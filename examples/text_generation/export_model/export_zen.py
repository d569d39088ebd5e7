"""Trains a network on the Zen of Python, which every Python has, and exports it: ``export_zen.py``.

Writes zen/1/zen.mindir: from the last 32 characters, as int32 codes, to a score for each that may
come next. A line begins after zeros and ends with a newline.
"""

import codecs
import contextlib
import io
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

with contextlib.redirect_stdout(io.StringIO()):  # it prints itself when it is imported
    import this

EXAMPLE = Path(__file__).resolve().parents[1]
WINDOW, CODES, STEPS = 32, 128, 100


class NextCharacter(nn.Cell):
    """int32 [N, 32] to scores [N, 128]."""

    def __init__(self):
        super().__init__()
        self.layers = nn.SequentialCell(
            nn.Embedding(CODES, 16), nn.Flatten(),
            nn.Dense(WINDOW * 16, 256, activation="relu"), nn.Dense(256, CODES),
        )  # fmt: skip

    def construct(self, window):
        return self.layers(window)


def samples() -> tuple[np.ndarray, np.ndarray]:
    """What stands before each character of the text, and the character."""
    windows, following = [], []
    for line in codecs.decode(this.s, "rot13").splitlines():
        codes = [0] * WINDOW + [ord(character) for character in line + "\n"]
        for at in range(WINDOW, len(codes)):
            windows.append(codes[at - WINDOW : at])
            following.append(codes[at])
    return np.array(windows, np.int32), np.array(following, np.int32)


def train() -> NextCharacter:
    net = NextCharacter()
    loss = nn.WithLossCell(net, nn.CrossEntropyLoss())
    step = nn.TrainOneStepCell(loss, nn.AdamWeightDecay(net.trainable_params(), 0.005))
    step.set_train()
    windows, following = (ms.Tensor(each) for each in samples())
    for number in range(1, STEPS + 1):
        answer = step(windows, following)
        if number % 50 == 0:
            print(f"step {number}, loss {float(answer.asnumpy()):.3f}")
    return net.set_train(False)


def export(net: NextCharacter) -> None:
    folder = EXAMPLE / "zen" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    any_number = ms.Tensor(shape=[None, WINDOW], dtype=ms.int32)
    ms.export(net, any_number, file_name=str(folder / "zen"), file_format="MINDIR")
    print("exported zen/1/zen.mindir")


if __name__ == "__main__":
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    ms.set_seed(1)
    export(train())
