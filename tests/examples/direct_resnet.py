"""``direct_resnet.py MINDIR IMAGE ...``: what MindSpore alone says of images, as JSON."""

import json
import os
import sys

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # as device processes have it

import mindspore as ms
import numpy as np
from mindspore import nn
from PIL import Image

LABELS = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
MEANS, DEVIATIONS = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def scores(net, file):
    pixels = np.asarray(Image.open(file).convert("RGB").resize((224, 224), Image.BILINEAR))
    channels = [
        (pixels[:, :, channel] / 255 - MEANS[channel]) / DEVIATIONS[channel] for channel in range(3)
    ]
    return net(ms.Tensor(np.float32([channels]))).asnumpy()[0]


def main(model, *files):
    net = nn.GraphCell(ms.load(model))
    for file in files:
        found = scores(net, file)
        best = sorted(range(10), key=lambda each: -found[each])[:5]
        answer = {"label": [LABELS[each] for each in best], "score": found[best].tolist()}
        print(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
