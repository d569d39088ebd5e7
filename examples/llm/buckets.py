"""Static shapes that graphs are exported for, and the files that they lie in."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MODELS = Path(__file__).with_name("docstrings") / "1"
"""Where the graphs are exported to."""
TOP = 100
"""The largest logits that ``topk.mindir`` gives."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A graph's shape; one of several tokens a row is for prefill, one of one token for decode."""

    rows: int
    """B: sequences at once."""
    tokens: int
    """T: new tokens of each."""
    cached: int
    """S: how long each sequence may have been before, and so how long the caches are."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Of ``BxTxS``, for instance ``4x64x256``; raises ValueError otherwise."""
        numbers = [int(part) for part in text.split("x")]
        if len(numbers) != 3 or min(numbers) < 1:
            raise ValueError(f"a bucket is BxTxS, three positive integers, not {text!r}")
        return cls(*numbers)

    def __str__(self) -> str:
        return f"{self.rows}x{self.tokens}x{self.cached}"

    @property
    def file_name(self) -> str:
        kind = "decode" if self.tokens == 1 else "prefill"
        return f"{kind}_{self}.mindir"


DEFAULT = tuple(map(Bucket.parse, ("1x64x256", "4x64x256", "1x1x256", "8x1x256", "16x1x256")))


def add_options(parser: argparse.ArgumentParser) -> None:
    """What graphs are to be exported: as many as buckets, and of what kind."""
    parser.add_argument("--buckets", type=Bucket.parse, nargs="+", default=DEFAULT, metavar="BxTxS")
    parser.add_argument("--fused-argmax", action="store_true", help="ids beside the logits")
    parser.add_argument("--adapters", action="store_true", help="an input chooses an adapter")
