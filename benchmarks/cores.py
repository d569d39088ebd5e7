"""What a graph gains by more than one core: ``python -m benchmarks.cores``.

Calls LeNet, ResNet-50 and graphs of the example's language model in this process, on all cores and
on one in turns. Prints milliseconds of a call on the clock and of CPU, medians and the least.
"""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # before MindSpore

import mindspore as ms
import numpy as np
from mindspore import nn

from benchmarks.generation.models import prepared
from benchmarks.generation.shapes import FITTED, ROWS, Shape
from benchmarks.mindir.export import IMAGES
from benchmarks.mindir.models import file_of, with_answer
from benchmarks.rounds import say
from benchmarks.works import WORKS
from examples.llm.sizes import HEAD, HEADS, LAYERS
from services.agent.cores import Cores

SHAPES = (Shape(1, 1, FITTED), Shape(ROWS, 1, FITTED), Shape(1, 64, FITTED))
TURNS, CALLS = 8, 10
Call = Callable[[], object]


def call_of(path: str, inputs: list[np.ndarray[Any, Any]]) -> Call:
    """A graph that was called already: then it is compiled."""
    cell = nn.GraphCell(ms.load(path))

    def call() -> object:
        outputs = cell(*(ms.Tensor.from_numpy(each) for each in inputs))
        several = outputs if isinstance(outputs, tuple) else (outputs,)
        return [each.asnumpy() for each in several]

    for _ in range(3):
        call()
    return call


def calls() -> dict[str, Call]:
    """All graphs, by what they are."""
    found = {}
    for work in WORKS.values():
        if work.model:
            image = np.ones((1, *IMAGES[work.model]), np.float32)
            found[f"{work.model}, one image"] = call_of(
                str(file_of(with_answer(work, say))), [image]
            )
    folder = prepared(say) / "fused"
    for shape in SHAPES:
        rows, tokens, length = shape
        positions = np.tile(np.arange(tokens, dtype=np.int32), (rows, 1))
        cache = np.zeros((rows, HEADS, length, HEAD), np.float32)
        inputs = [np.ones((rows, tokens), np.int32), positions, *[cache] * (2 * LAYERS)]
        found[f"language model, {shape.file}"] = call_of(str(folder / shape.file), inputs)
    return found


def timed(call: Call) -> tuple[float, float]:
    """Seconds on the clock, and of CPU."""
    used, began = time.process_time(), time.perf_counter()
    call()
    return time.perf_counter() - began, time.process_time() - used


def main() -> None:
    """Print a table."""
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_device("CPU")
    graphs = calls()
    print("| graph | cores | ms, median | least | CPU ms, median |\n|---|---|---:|---:|---:|")
    cores = Cores()
    for name, call in graphs.items():
        times: dict[str, list[tuple[float, float]]] = {"all": [], "one": []}
        for _ in range(TURNS):
            for which, count in (("all", 0), ("one", 1)):
                cores.use(count)
                times[which] += [timed(call) for _ in range(CALLS)]
        for which, found in times.items():
            took, used = ([1e3 * each for each in times] for times in zip(*found, strict=True))
            median = statistics.median
            print(
                f"| {name} | {which} | {median(took):.2f} | {min(took):.2f} | {median(used):.2f} |"
            )
    # MindSpore's graphs complain when they are taken apart at the end of the interpreter.
    os._exit(0)


if __name__ == "__main__":
    main()
