"""Trains LeNet on the digits that scikit-learn ships, and exports it: ``export_lenet.py``.

Writes lenet/1/lenet.mindir, and test_image/DIGIT-NUMBER.png for each digit held out of training.
"""

import os
from pathlib import Path

# Read by MindSpore while it is imported: without it, convolutions are 100 times slower.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")

import mindspore as ms
import numpy as np
from mindspore import nn
from net import LeNet
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

EXAMPLE = Path(__file__).resolve().parents[1]
EPOCHS, BATCH = 12, 32


def input_of(image: Image.Image) -> np.ndarray:
    """What the network sees of an image; lenet/servable_config.py does the same."""
    image = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    return np.asarray(image, np.float32)[None] / 255


def train(images, labels) -> LeNet:
    net = LeNet()
    loss = nn.WithLossCell(net, nn.CrossEntropyLoss())
    step = nn.TrainOneStepCell(loss, nn.AdamWeightDecay(net.trainable_params(), 0.002))
    step.set_train()
    x = np.stack([input_of(image) for image in images])
    y = np.asarray(labels, np.int32)
    chance = np.random.default_rng(1)
    for epoch in range(EPOCHS):
        losses = []
        order = chance.permutation(len(x))
        for start in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            losses.append(float(step(ms.Tensor(x[rows]), ms.Tensor(y[rows])).asnumpy()))
        print(f"epoch {epoch + 1}, loss {np.mean(losses):.3f}")
    return net.set_train(False)


def export(net: LeNet) -> None:
    folder = EXAMPLE / "lenet" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    two = ms.Tensor(np.zeros((2, 1, 32, 32), np.float32))
    ms.export(net, two, file_name=str(folder / "lenet"), file_format="MINDIR")
    print("exported lenet/1/lenet.mindir")


def save(images, labels) -> None:
    """Write the images as the client wants them: their names say what is on them."""
    folder = EXAMPLE / "test_image"
    folder.mkdir(exist_ok=True)
    counted = [0] * 10
    for image, label in zip(images, labels, strict=True):
        counted[label] += 1
        image.save(folder / f"{label}-{counted[label]}.png")
    print(f"wrote {len(images)} images into test_image")


def main() -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    ms.set_seed(1)
    digits = load_digits()  # 8x8, from 0 to 16
    images = [Image.fromarray(np.uint8(each * 255 / 16)) for each in digits.images]
    split = train_test_split(images, digits.target, test_size=0.2, random_state=1)
    seen, held_out, seen_labels, held_out_labels = split
    export(train(seen, seen_labels))
    save(held_out, held_out_labels)


if __name__ == "__main__":
    main()
