"""``direct_llm.py FOLDER``: what MindSpore alone says of texts, as ``direct.npz`` in FOLDER.

Exports the graphs of BUCKETS into FOLDER, of ADAPTED with adapters into FOLDER/adapted; prints how
many seconds the first took.
"""

import os
import sys
import time
from pathlib import Path

os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # as device processes have it

import mindspore as ms
import numpy as np

from examples.llm.buckets import Bucket
from examples.llm.export import export
from examples.llm.graphs import Graph, Whole, on_cpu
from examples.llm.plain_loop import Loop, recomputed
from tests.examples.llm_texts import (
    ADAPTED,
    ADDED,
    BUCKETS,
    CHUNK,
    LENGTH,
    ROWS,
    batch,
    caches,
    prompts,
)


def main(folder: Path) -> None:
    on_cpu()
    began = time.monotonic()
    export(BUCKETS, folder, fused_argmax=True)
    print(f"seconds: {time.monotonic() - began:.1f}")
    export(ADAPTED, folder / "adapted", adapters=True)
    whole = Whole()
    found = {"whole": whole(*batch())}
    found["recomputed"] = [recomputed(whole, prompt, ADDED, length=LENGTH) for prompt in prompts()]
    graphs = {bucket: Graph(bucket, folder) for bucket in BUCKETS}
    for rows in ROWS:
        loop = Loop(graphs[Bucket(rows, CHUNK, LENGTH)], graphs[Bucket(rows, 1, LENGTH)],
                    Bucket(rows, CHUNK, LENGTH))  # fmt: skip
        several = [prompts()[at : at + rows] for at in range(0, len(prompts()), rows)]
        found[f"loop{rows}"] = [row for each in several for row in loop.generate(each, ADDED)]
    found |= of_buckets(graphs) | of_adapters(folder / "adapted") | of_models(folder)
    np.savez(folder / "direct.npz", **found)


def of_buckets(graphs):
    """Every output of every graph, for the first rows and tokens of the batch."""
    found = {}
    for bucket, graph in graphs.items():
        tokens, positions = (each[: bucket.rows, : bucket.tokens] for each in batch(first=20))
        outputs = graph(tokens.copy(), positions.copy(), caches(bucket))
        for number, output in enumerate(outputs):
            found[f"{bucket} {number}"] = output
    return found


def of_adapters(folder):
    """One prompt with none, the first and the second adapter, in one batch and recomputed."""
    graphs = [Graph(bucket, folder) for bucket in ADAPTED]
    prompt, chosen = prompts()[0], [0, 1, 2]
    loop = Loop(*graphs, ADAPTED[0])
    whole = Whole(adapters=True)
    return {
        "adapted": loop.generate([prompt] * 3, ADDED, chosen),
        "adapted recomputed": [recomputed(whole, prompt, ADDED, each, LENGTH) for each in chosen],
    }


def of_models(folder):
    logits = ms.Tensor(np.random.default_rng(5).normal(size=(3, 2048)).astype(np.float32))
    argmax, topk = (
        ms.nn.GraphCell(ms.load(str(folder / f"{name}.mindir"))) for name in ("argmax", "topk")
    )
    values, ids = topk(logits)
    return {
        "logits": logits.asnumpy(), "argmax": argmax(logits).asnumpy(),
        "values": values.asnumpy(), "ids": ids.asnumpy(),
    }  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # MindSpore's graphs complain when the interpreter takes them apart
