"""``python -m benchmarks.mindir.export FOLDER``: LeNet and ResNet-50 as MINDIR, with an answer.

The networks are those of the examples. Weights are random, the same each time; a batch may have
any number of rows.
"""

import sys
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from examples.lenet.export_model.net import LeNet
from examples.resnet.export_model.net import ResNet50, fill

IMAGES = {"lenet": (1, 32, 32), "resnet50": (3, 224, 224)}


def main(folder: Path) -> None:
    """Write NAME.mindir, and what it answers to one image as NAME.npy, for every model."""
    ms.set_context(mode=ms.GRAPH_MODE)
    for name, net in (("lenet", LeNet()), ("resnet50", ResNet50(classes=1000))):
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
