"""Exports the network cut into ranks: ``python -m examples.llm.export_ranks --ranks 2``.

Writes ``rank0``, ``rank1``, ... with the files that ``examples.llm.export`` makes of the whole. A
graph that sums over ranks is exported by ranks that have met: this starts MindSpore's scheduler and
a process for each rank, all of them as ``examples.llm.export_rank`` with the same options.
"""

import argparse
import sys
from pathlib import Path

from examples.llm.buckets import MODELS, add_options
from examples.ranks import run_ranks

OUTPUT = MODELS.parent / "ranks"


def arguments() -> argparse.Namespace:
    """What this and each rank are told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2, help="a divisor of the heads")
    add_options(parser)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    return parser.parse_args()


if __name__ == "__main__":
    run_ranks(["-m", "examples.llm.export_rank", *sys.argv[1:]], arguments().ranks)
