"""``python -m benchmarks.seed_graphs.export FOLDER WORDS WIDTH``: three MINDIR graphs.

first: words to a context. step: a context and a value to the next value. merged: both of them
in one graph, words and a value to the next value. A batch may have any number of rows.
"""

import sys
from pathlib import Path

import mindspore as ms
from mindspore import Tensor, nn, ops

from benchmarks.seed_graphs.sizes import LAYERS, Sizes


class First(nn.Cell):
    """What GPT does with the words it was given: done once for a text."""

    def __init__(self, weights):
        super().__init__()
        self.layers = nn.SequentialCell([_layer(each) for each in weights])
        self.mean = ops.ReduceMean()

    def construct(self, words):
        return self.mean(self.layers(words), 1)


class Step(nn.Cell):
    """What it does for every word that it adds."""

    def __init__(self, weights):
        super().__init__()
        self.layers = nn.SequentialCell([_layer(each) for each in weights])

    def construct(self, context, value):
        return self.layers(context + value)


class Merged(nn.Cell):
    """One graph in place of two."""

    def __init__(self, weights):
        super().__init__()
        self.first = First(weights[:LAYERS])
        self.step = Step(weights[LAYERS:])

    def construct(self, words, value):
        return self.step(self.first(words), value)


def _layer(weight):
    width = len(weight)
    return nn.Dense(width, width, Tensor(weight), has_bias=False, activation="tanh")


def main(folder: Path, sizes: Sizes) -> None:
    """Write NAME.mindir for all three."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    weights = sizes.weights()
    words = Tensor(shape=[None, sizes.words, sizes.width], dtype=ms.float32)
    value = Tensor(shape=[None, sizes.width], dtype=ms.float32)
    for name, net, inputs in (
        ("first", First(weights[:LAYERS]), [words]),
        ("step", Step(weights[LAYERS:]), [value, value]),
        ("merged", Merged(weights), [words, value]),
    ):
        ms.export(net, *inputs, file_name=str(folder / name), file_format="MINDIR")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Sizes(int(sys.argv[2]), int(sys.argv[3])))
