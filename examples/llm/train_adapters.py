"""Trains two low-rank adapters for the network: ``python -m examples.llm.train_adapters``.

Writes ``adapters.npz``. With the first the model recites the Zen of Python, with the second the
same as ``this`` keeps it, rotated by 13 letters. Both are trained at once, half of a batch each;
the network itself stays as it is.
"""

import argparse
import codecs
import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as device processes have it

import mindspore as ms
import numpy as np
from mindspore import nn
from tokenizers import Tokenizer

from examples.llm.corpus import END_OF_TEXT
from examples.llm.graphs import on_cpu
from examples.llm.net import Decoder, load
from examples.llm.sizes import ADAPTERS, LORA, WEIGHTS
from examples.llm.train import Loss, arguments, progress, rates, save, stream_of, windows
from examples.llm.train_tokenizer import TOKENIZER

with contextlib.redirect_stdout(io.StringIO()):  # it prints itself when it is imported
    import this

ROTATED = this.s
TEXTS = {"zen": codecs.decode(ROTATED, "rot13"), "rot13": ROTATED}
LENGTH = 128
"""Tokens of a window."""


def decoder_with_adapters() -> Decoder:
    """The trained network with adapters that add nothing yet and alone can be trained."""
    decoder = Decoder(len(ADAPTERS))
    load(decoder, WEIGHTS)
    for parameter in decoder.get_parameters():
        parameter.requires_grad = ".adapters." in parameter.name
    return decoder


def batches(tokenizer: Tokenizer, rows: int, seed: int) -> Iterator[tuple[ms.Tensor, ...]]:
    """Windows of each text in turn, endless, and which adapter they are for."""
    chance = np.random.default_rng(seed)
    streams = [stream_of(tokenizer, [TEXTS[name] + END_OF_TEXT] * 100) for name in ADAPTERS]
    of_each = [windows(stream, chance, rows, LENGTH) for stream in streams]
    adapter = np.repeat(np.arange(1, 1 + len(ADAPTERS), dtype=np.int32), rows)
    while True:
        windows_of_all = np.concatenate([next(each) for each in of_each])
        yield *arguments(windows_of_all), ms.Tensor(adapter)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", type=int, default=2, help="windows of each adapter a step")
    parser.add_argument("--rate", type=float, default=1e-2, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=LORA)
    options = parser.parse_args()
    on_cpu()
    ms.set_seed(options.seed)
    decoder = decoder_with_adapters()
    trained = decoder.trainable_params()
    optimizer = nn.Adam(trained, rates(options.steps, options.rate))
    step = nn.TrainOneStepCell(Loss(decoder), optimizer).set_train()
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    made = batches(tokenizer, options.rows, options.seed)
    progress(options.steps, lambda: step(*next(made)))
    for parameter in trained:  # row 0 is for those without an adapter
        parameter[0] = 0
    save(trained, options.output)


if __name__ == "__main__":
    main()
