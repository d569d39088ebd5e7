"""Exports the model of every rank: model/device{rank}/matmul.mindir, for float32 128x96.

A graph that sums over ranks is exported by ranks: this starts MindSpore's scheduler, and one
process for each rank of the first stage. With two stages the ranks of the first one multiply, and
those of the second one negate.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from examples.ranks import run_ranks  # noqa: E402 (the repository's, wherever this is called from)


def export(directory: Path, ranks: int, stages: int) -> None:
    """Have the ranks of the first stage export; ends with a text when one fails."""
    run_ranks([str(HERE / "export_rank.py"), str(directory), str(stages)], ranks // stages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=HERE.parent, help="where to make model/")
    parser.add_argument("--ranks", type=int, default=8, help="stages times a divisor of 96")
    parser.add_argument("--stages", type=int, default=1, choices=(1, 2))
    given = parser.parse_args()
    if given.ranks < 1 or given.ranks % given.stages or 96 % (given.ranks // given.stages):
        parser.error("--ranks: stages times a divisor of 96")
    export(**vars(given))
