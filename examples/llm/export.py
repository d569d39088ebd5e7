"""Exports the trained network as MINDIR graphs: ``python -m examples.llm.export``.

One file for each bucket, ``prefill_BxTxS.mindir`` or ``decode_BxTxS.mindir``, and two models for
what comes after: ``argmax.mindir`` and ``topk.mindir``; the tokenizer is copied beside them. For
instance, with ids beside the logits:
``python -m examples.llm.export --buckets 1x32x128 16x1x128 --fused-argmax``.
"""

import argparse
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from examples.llm.buckets import MODELS, TOP, Bucket, add_options
from examples.llm.net import Decoder, Extend, load
from examples.llm.part import WHOLE, Part
from examples.llm.sizes import ADAPTERS, HEAD, LAYERS, LORA, VOCABULARY, WEIGHTS

BESIDE = ("tokenizer.json", "tokenizer_config.json", "generation_config.json")
"""What a server reads beside the graphs."""


class Argmax(nn.Cell):
    """float32 [N, V] to int32 [N]: the id of the largest logit, the first of equal ones."""

    def __init__(self) -> None:
        super().__init__()
        self.argmax = ops.Argmax(-1)

    def construct(self, logits):
        return self.argmax(logits)


class TopK(nn.Cell):
    """float32 [N, V] to the largest logits float32 [N, K] and their ids int32 [N, K]."""

    def __init__(self) -> None:
        super().__init__()
        self.top_k = ops.TopK(sorted=True)

    def construct(self, logits):
        return self.top_k(logits, TOP)


def export(
    buckets: Iterable[Bucket],
    folder: Path,
    fused_argmax: bool = False,
    adapters: bool = False,
    part: Part = WHOLE,
) -> list[Path]:
    """Write the graphs of all buckets and the two models; gives the paths of what was written.

    fused_argmax: the last output is ids int32 [B, T]; adapters: the last input chooses an adapter
    for each row, int32 [B]; part: that of a rank, in a process that met those of the others.
    MindSpore must be in graph mode, on a CPU.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decoder = Decoder(len(ADAPTERS) if adapters else 0, part)
    load(decoder, WEIGHTS, *([LORA] if adapters else []))
    extend = Extend(decoder, fused_argmax).set_train(False)
    logits = ms.Tensor(shape=[None, VOCABULARY], dtype=ms.float32)
    return [
        *(
            _write(extend, _inputs(each, adapters, part.heads), folder / each.file_name)
            for each in buckets
        ),
        _write(Argmax(), [logits], folder / "argmax.mindir"),
        _write(TopK(), [logits], folder / "topk.mindir"),
    ]


def copy_beside(folder: Path) -> None:
    """What the graphs are of use with."""
    for beside in BESIDE:
        shutil.copy(WEIGHTS.with_name(beside), folder)


def _inputs(bucket: Bucket, adapters: bool, heads: int) -> list[ms.Tensor]:
    tokens = np.zeros((bucket.rows, bucket.tokens), np.int32)
    cache = np.zeros((bucket.rows, heads, bucket.cached, HEAD), np.float32)
    chosen = [np.zeros(bucket.rows, np.int32)] if adapters else []
    return [ms.Tensor(each) for each in (tokens, tokens, *[cache] * (2 * LAYERS), *chosen)]


def _write(net: nn.Cell, inputs: list[ms.Tensor], path: Path) -> Path:
    began = time.monotonic()
    ms.export(net, *inputs, file_name=str(path.with_suffix("")), file_format="MINDIR")
    size = path.stat().st_size / 1e6
    print(f"exported {path.name}, {size:.1f} MB, {time.monotonic() - began:.1f} s", flush=True)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser)
    parser.add_argument("--output", type=Path, default=MODELS)
    options = parser.parse_args()
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    export(options.buckets, options.output, options.fused_argmax, options.adapters)
    copy_beside(options.output)


if __name__ == "__main__":
    main()
