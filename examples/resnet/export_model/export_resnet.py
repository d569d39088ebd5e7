"""Exports ResNet-50 for CIFAR-10's classes, with random weights: ``export_resnet.py``.

Writes resnet50/1/resnet50_1b_cifar10.mindir, for one image at a time, and the two photographs that
scikit-learn ships into test_image.
"""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import mindspore as ms
import numpy as np
from net import ResNet50, fill

EXAMPLE = Path(__file__).resolve().parents[1]


def export() -> None:
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    net = ResNet50(classes=10)
    fill(net)
    net.set_train(False)
    folder = EXAMPLE / "resnet50" / "1"
    folder.mkdir(parents=True, exist_ok=True)
    image = ms.Tensor(np.zeros((1, 3, 224, 224), np.float32))
    ms.export(net, image, file_name=str(folder / "resnet50_1b_cifar10"), file_format="MINDIR")
    print("exported resnet50/1/resnet50_1b_cifar10.mindir")


def copy_photographs() -> None:
    folder = EXAMPLE / "test_image"
    folder.mkdir(exist_ok=True)
    for name in ("china.jpg", "flower.jpg"):
        with as_file(files("sklearn.datasets") / "images" / name) as photograph:
            shutil.copy(photograph, folder / name)
        print(f"copied test_image/{name}")


if __name__ == "__main__":
    export()
    copy_photographs()
