"""One rank of ``examples.llm.export_ranks``, or MindSpore's scheduler: exports its part."""

import os
import sys

import mindspore as ms
from mindspore.communication import init

from examples.llm.export import copy_beside, export
from examples.llm.export_ranks import arguments
from examples.llm.part import Part


def main() -> None:
    options = arguments()
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
