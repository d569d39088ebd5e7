"""What a device process adds to a language model's graph: ``python -m benchmarks.language_steps``.

Exports the example's decode graph for 16 texts, and times steps of 16 rows by how their tokens are
chosen: the whole step as a device process does it, from bytes to bytes, without the graph's own
time. In one process, kinds in turn; microseconds, medians and the least.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")  # before MindSpore

from protos.serving.v1 import generation_pb2 as pb
from services.agent.backends.mindspore import MindSporeBackend
from services.agent.cores import Cores
from services.agent.generation.language_model import LanguageModel
from services.agent.generation.step_codec import read_step, write_outcome
from shared.membership import Device, ModelFiles
from shared.servable import LanguageGraphs

ROWS, LENGTH, STEPS = 16, 256, 200
PREFILL, DECODE = f"1x16x{LENGTH}", f"{ROWS}x1x{LENGTH}"
KINDS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "greedy, by the argmax graph": {},
    "temperature": {"temperature": 1.0},
    "top-k 50": {"temperature": 1.0, "top_k": 50},
    "top-k 50, by the topk graph": {"temperature": 1.0, "top_k": 50},
    "top-p 0.9": {"temperature": 1.0, "top_p": 0.9},
    "penalties": {"repetition_penalty": 1.1, "frequency_penalty": 0.5},
    "5 log-probabilities": {"logprobs": 5},
    "a regular expression": {"grammar": pb.Grammar(regex="([a-z]+ )+[.]")},
}


def exported(folder: Path, tokenizer: Path, *, on_device: bool) -> ModelFiles:
    """The example's model."""
    names = (f"prefill_{PREFILL}", f"decode_{DECODE}", "argmax", "topk")
    paths = tuple(str(folder / f"{name}.mindir") for name in names)
    graphs = LanguageGraphs(
        1, 1, argmax=True, topk=True, tokenizer=str(tokenizer), device_post_sampling=on_device
    )
    return ModelFiles("llm", "mindir", paths, True, (), 0, language=graphs)


class Texts:
    """Sixteen texts whose tokens are chosen in one way."""

    def __init__(self, model: LanguageModel, sampling: dict[str, Any]) -> None:
        self._model = model
        self._id = 1
        self.seconds: list[float] = []
        self.graph_seconds: list[float] = []
        self._position = 8
        starts = [
            pb.Start(slot=slot, tokens=range(100 + slot, 108 + slot), prompt_tokens=8,
                     sampling=pb.Sampling(seed=slot, **sampling))
            for slot in range(ROWS)
        ]  # fmt: skip
        self._send(pb.Step(id=1, forget=True, starts=starts))
        for slot in range(ROWS):
            row = pb.Row(slot=slot, count=8, samples=True)
            self._send(pb.Step(id=self._id, prefills=[pb.Forward(graph=0, rows=[row])]))

    def go_on(self) -> None:
        """One timed step."""
        rows = [
            pb.Row(slot=slot, position=self._position, count=1, samples=True)
            for slot in range(ROWS)
        ]
        self._position += 1
        whole, graph = self._send(pb.Step(id=self._id, decode=pb.Forward(graph=1, rows=rows)))
        self.seconds.append(whole - graph)
        self.graph_seconds.append(graph)

    def _send(self, step: pb.Step) -> tuple[float, float]:
        payload = step.SerializeToString()
        self._id += 1
        began = time.perf_counter()
        outcome = self._model.apply(read_step(payload))
        write_outcome(outcome)
        return time.perf_counter() - began, outcome.device_seconds


def measured() -> Iterator[tuple[str, list[float], list[float]]]:
    """Each kind's seconds beside the graph, and in it."""
    from examples.llm.train_tokenizer import TOKENIZER  # noqa: PLC0415 (needs the example)

    with tempfile.TemporaryDirectory() as name:
        command = ["-m", "examples.llm.export", "--output", name, "--buckets", PREFILL, DECODE]
        subprocess.run([sys.executable, *command], check=True)
        backend = MindSporeBackend(Device("CPU", 0))
        texts = {}
        for kind, sampling in KINDS.items():
            files = exported(Path(name), TOKENIZER, on_device=kind.endswith("graph"))
            loaded = backend.load(files, None)
            loaded.warm_up()
            assert files.language is not None
            texts[kind] = Texts(LanguageModel(files, files.language, loaded, Cores()), sampling)
        for _ in range(STEPS):
            for each in texts.values():
                each.go_on()
        for kind, each in texts.items():
            yield kind, each.seconds, each.graph_seconds


def main() -> None:
    """Print a table."""
    print(
        "| how tokens are chosen | beside the graph, median | least | the graph, median | least |"
    )
    print("|---|---:|---:|---:|---:|")
    for kind, beside, graph in measured():
        numbers = [statistics.median(beside), min(beside), statistics.median(graph), min(graph)]
        print(f"| {kind} |", " | ".join(f"{1e6 * each:.0f}" for each in numbers), "|")


if __name__ == "__main__":
    main()
