"""Trains the network on the corpus and writes ``weights.npz``: ``python -m examples.llm.train``.

The same seed, steps and version of Python give the same batches. On a CPU the last bits of sums,
and so of weights, may differ between machines.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

# Both before MindSpore is imported: matrix products as fast as they are in device processes, and
# threads that sleep while they wait, which is two thirds of the CPU time on a busy machine.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import mindspore as ms
import numpy as np
from mindspore import nn
from tokenizers import Tokenizer

from examples.llm.corpus import documents
from examples.llm.graphs import on_cpu
from examples.llm.net import Decoder, load
from examples.llm.sizes import CONTEXT, VOCABULARY, WEIGHTS
from examples.llm.train_tokenizer import TOKENIZER


class Loss(nn.Cell):
    """Mean cross-entropy in nats: tokens, those that follow and positions int32 [B, T]."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder
        self.cross_entropy = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")

    def construct(self, tokens, following, positions, adapter=None):
        logits = self.decoder(tokens, positions, adapter)
        return self.cross_entropy(logits.reshape(-1, VOCABULARY), following.reshape(-1))


def stream_of(tokenizer: Tokenizer, texts: list[str]) -> np.ndarray:
    """The tokens of all documents, one after the other."""
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    return np.concatenate([np.array(each.ids, np.int32) for each in encoded])


def windows(
    stream: np.ndarray, chance: np.random.Generator, rows: int, length: int = CONTEXT
) -> Iterator[np.ndarray]:
    """Batches [rows, length + 1] for ever; every pass cuts the stream elsewhere."""
    while True:
        begin = chance.integers(length)
        starts = np.arange(begin, len(stream) - length - 1, length)
        chance.shuffle(starts)
        for at in range(0, len(starts) - rows + 1, rows):
            yield np.stack([stream[s : s + length + 1] for s in starts[at : at + rows]])


def arguments(batch: np.ndarray) -> tuple[ms.Tensor, ms.Tensor, ms.Tensor]:
    """What Loss takes, of windows [B, T+1]."""
    rows, length = batch.shape[0], batch.shape[1] - 1
    positions = np.tile(np.arange(length, dtype=np.int32), (rows, 1))
    return ms.Tensor(batch[:, :-1]), ms.Tensor(batch[:, 1:]), ms.Tensor(positions)


def rates(steps: int, peak: float) -> list[float]:
    """Up within the first steps, then straight down to nothing."""
    warm = min(100, steps // 10 + 1)
    return [
        float(peak * min((step + 1) / warm, (steps - step) / (steps - warm + 1)))
        for step in range(steps)
    ]


def optimizer(net: nn.Cell, steps: int, peak: float) -> nn.Optimizer:
    matrices = [each for each in net.trainable_params() if each.ndim > 1]
    vectors = [each for each in net.trainable_params() if each.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return nn.AdamWeightDecay(groups, rates(steps, peak), beta1=0.9, beta2=0.95)


def progress(steps: int, step: Callable[[], ms.Tensor]) -> None:
    """Take the steps and say how far they are."""
    began, recent = time.monotonic(), []
    for number in range(1, steps + 1):
        recent.append(float(step().asnumpy()))
        if number % 20 == 0 or number == steps:
            seconds = time.monotonic() - began
            print(f"step {number}, loss {np.mean(recent):.3f}, {seconds:.0f} s", flush=True)
            recent = []


def save(parameters: Iterable[ms.Parameter], path: Path) -> None:
    """As float16, by their names in a Decoder."""
    arrays = {each.name.removeprefix("decoder."): each.asnumpy() for each in parameters}
    np.savez(path, **{name: array.astype(np.float16) for name, array in arrays.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=8, help=f"windows of {CONTEXT} tokens a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--begin-with", type=Path, help="weights to go on from")
    parser.add_argument("--output", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    on_cpu()
    ms.set_seed(options.seed)
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    training, held_out = (stream_of(tokenizer, texts) for texts in documents())
    print(f"{len(training)} tokens to train on, {len(held_out)} held out", flush=True)
    decoder = Decoder()
    if options.begin_with:
        load(decoder, options.begin_with)
    loss = Loss(decoder)
    step = nn.TrainOneStepCell(loss, optimizer(decoder, options.steps, options.rate)).set_train()
    batches = windows(training, np.random.default_rng(options.seed), options.rows)
    progress(options.steps, lambda: step(*arguments(next(batches))))
    save(decoder.get_parameters(), options.output)
    print(f"loss on what was held out: {measured(loss, held_out):.3f}")


def measured(loss: Loss, held_out: np.ndarray) -> float:
    """The mean over all windows of the text, eight at a time."""
    loss.set_train(False)
    rows, several = 8, windows(held_out, np.random.default_rng(0), 8)
    batches = [next(several) for _ in range(len(held_out) // CONTEXT // rows)]
    return float(np.mean([loss(*arguments(batch)).asnumpy() for batch in batches]))


if __name__ == "__main__":
    main()
