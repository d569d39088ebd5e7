"""Times the exported graphs in a bare loop: ``python -m examples.llm.measure``.

Exports what it measures into a temporary folder. All shapes take turns of several calls each, so
that what else the machine does falls on all of them alike; told are medians in milliseconds, and
the least.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # as device processes have it

import numpy as np

from examples.llm.buckets import Bucket
from examples.llm.export import export
from examples.llm.graphs import Graph, on_cpu
from examples.llm.plain_loop import Loop
from examples.llm.sizes import VOCABULARY

CALLS = 6
"""In one turn."""


def steps_of(bucket: Bucket, folder: Path) -> Callable[[int], object]:
    """What to time in each round: a decode step further, or prefill of the same prompts."""
    graph = Graph(bucket, folder)
    loop = Loop(graph, graph, bucket)
    # Which tokens they are costs nothing.
    tokens = np.random.default_rng(1).integers(3, VOCABULARY, (bucket.rows, bucket.tokens))
    if bucket.tokens > 1:
        prompts: list[list[int]] = tokens.tolist()
        return lambda number: loop.prefill(prompts)
    ids = tokens[:, 0].astype(np.int32)
    return lambda number: loop.decode(ids, np.full(bucket.rows, number % bucket.cached, np.int32))


def measured(buckets: list[Bucket], turns: int, folder: Path) -> dict[Bucket, list[float]]:
    """Seconds of the calls of each bucket's graph.

    The first call of a turn is left out: it compiles, or brings weights back into the caches.
    """
    steps = {bucket: steps_of(bucket, folder) for bucket in buckets}
    seconds: dict[Bucket, list[float]] = {bucket: [] for bucket in buckets}
    for turn in range(turns):
        for bucket, step in steps.items():
            for number in range(CALLS):
                began = time.perf_counter()
                step(turn * CALLS + number)
                if number:
                    seconds[bucket].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 16], help="of decode")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1, 4, 8], help="of prefill")
    parser.add_argument("--length", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--cached", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--turns", type=int, default=10)
    options = parser.parse_args()
    buckets = [
        Bucket(rows, tokens, cached)
        for cached in options.cached
        for tokens, several in ((1, options.rows), (options.length, options.prompts))
        for rows in several
    ]
    on_cpu()
    with tempfile.TemporaryDirectory() as folder:
        export(buckets, Path(folder))
        results = measured(buckets, options.turns, Path(folder))
    print("| bucket | ms, median | least | each prompt, median |\n|---|---|---|---|")
    for bucket, seconds in results.items():
        median, least = 1e3 * statistics.median(seconds), 1e3 * min(seconds)
        print(f"| {bucket} | {median:.1f} | {least:.1f} | {median / bucket.rows:.1f} |")
    # MindSpore's graphs complain when they are taken apart at the end of the interpreter.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
