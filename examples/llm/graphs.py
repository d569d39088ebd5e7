"""The network on MindSpore in this process, called without a server."""

from collections.abc import Sequence
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn
from numpy.typing import NDArray

from examples.llm.buckets import MODELS, Bucket
from examples.llm.net import Decoder, load
from examples.llm.sizes import ADAPTERS, LORA, WEIGHTS


class Graph:
    """One bucket's graph, compiled by the first call."""

    def __init__(self, bucket: Bucket, folder: Path = MODELS) -> None:
        self.bucket = bucket
        self._cell = nn.GraphCell(ms.load(str(folder / bucket.file_name)))

    def __call__(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        caches: Sequence[NDArray[np.float32]],
        adapter: NDArray[np.int32] | None = None,
    ) -> list[NDArray[np.float32]]:
        """Logits [B, T, V], new keys and values of each layer; ids where argmax is fused."""
        chosen = [] if adapter is None else [adapter]
        inputs = [ms.Tensor.from_numpy(each) for each in (tokens, positions, *caches, *chosen)]
        return [output.asnumpy() for output in self._cell(*inputs)]


class Whole:
    """The network without a cache, compiled for each new shape."""

    def __init__(self, adapters: bool = False) -> None:
        self._decoder = Decoder(len(ADAPTERS) if adapters else 0).set_train(False)
        load(self._decoder, WEIGHTS, *([LORA] if adapters else []))

    def __call__(
        self,
        tokens: NDArray[np.int32],
        positions: NDArray[np.int32],
        adapter: NDArray[np.int32] | None = None,
    ) -> NDArray[np.float32]:
        """Logits [B, T, V] of tokens [B, T]."""
        chosen = [] if adapter is None else [adapter]
        inputs = [ms.Tensor.from_numpy(each) for each in (tokens, positions, *chosen)]
        logits: NDArray[np.float32] = self._decoder(*inputs).asnumpy()
        return logits


def on_cpu() -> None:
    """What MindSpore must be told before any of the above: graphs, on a CPU."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
