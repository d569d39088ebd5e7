"""Exports the network cut into ranks: ``python -m examples.llm.export_ranks --ranks 2``.

Writes ``rank0``, ``rank1``, ... with the files that ``examples.llm.export`` makes of the whole. A
graph that sums over ranks is exported by ranks that have met: this starts MindSpore's scheduler and
a process for each rank, all of them with the same command.
"""

import argparse
import os
import sys
from pathlib import Path

from examples.llm.buckets import MODELS, add_options
from examples.llm.part import Part
from examples.ranks import run_ranks

OUTPUT = MODELS.parent / "ranks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2, help="a divisor of the heads")
    add_options(parser)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    if "MS_ROLE" in os.environ:
        _take_part(options)
    else:
        run_ranks(["-m", "examples.llm.export_ranks", *sys.argv[1:]], options.ranks)


def _take_part(options: argparse.Namespace) -> None:
    # Only those who take part wait for MindSpore.
    import mindspore as ms  # noqa: PLC0415
    from mindspore.communication import init  # noqa: PLC0415

    from examples.llm.export import copy_beside, export  # noqa: PLC0415

    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    if options.ranks > 1:
        init()
    if os.environ["MS_ROLE"] == "MS_SCHED":
        # It has the others meet, until it is ended.
        sys.stdin.read()
        return
    part = Part(int(os.environ["MS_NODE_ID"]), options.ranks)
    folder = options.output / f"rank{part.rank}"
    export(options.buckets, folder, options.fused_argmax, options.adapters, part)
    copy_beside(folder)
    sys.stdout.flush()
    # MindSpore's own clean-up waits for the others.
    os._exit(0)


if __name__ == "__main__":
    main()
