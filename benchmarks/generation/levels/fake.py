"""A fake model: graphs of the same shapes that compute next to nothing (reference backend)."""

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.generation.configurations import Configuration
from benchmarks.generation.models import EXAMPLE
from benchmarks.generation.shapes import FITTED, Shape
from services.agent.backends.reference import ReferenceBackend
from shared.membership import Device, ModelFiles
from shared.servable import LanguageGraphs

VOCABULARY = 2048
"""Of the example, whose tokenizer it uses."""
FAKE = Configuration("fake", "the model is fake", False, {"model_format": "Reference"})


def add_fake(directory: Path) -> None:
    """A servable whose model has one layer, and one head of one number."""
    folder = directory / FAKE.name / "1"
    folder.mkdir(parents=True)
    for shape in (*FAKE.prefill, *FAKE.decode):
        (folder / shape.file).write_text(json.dumps(_graph(shape)))
    (folder.parent / "servable_config.py").write_text(FAKE.config())
    shutil.copy(EXAMPLE / "tokenizer.json", folder.parent)


def graph_us(folder: Path, rows: int, calls: int = 200) -> float:
    """Microseconds of a fake graph's decode step, called in this process."""
    shape = Shape(rows, 1, FITTED)
    path = folder / shape.file
    path.write_text(json.dumps(_graph(shape)))
    files = ModelFiles(
        "fake", "reference", (str(path),), True, (), 0, language=LanguageGraphs(0, 1)
    )
    model = ReferenceBackend(Device("CPU", 0)).load(files, None)
    cache = np.zeros((rows, 1, FITTED, 1), np.float32)
    inputs = [np.full((rows, 1), 60, np.int32), np.full((rows, 1), 60, np.int32), cache, cache]
    began = time.perf_counter()
    for _ in range(calls):
        model.execute(0, inputs)
    return 1e6 * (time.perf_counter() - began) / calls


def _graph(shape: Shape) -> dict[str, object]:
    rows, tokens, length = shape
    cache, new = (rows, 1, length, 1), (rows, 1, tokens, 1)
    return {
        "function": "language",
        "inputs": [
            _spec("tokens", "int32", (rows, tokens)), _spec("positions", "int32", (rows, tokens)),
            _spec("keys0", "float32", cache), _spec("values0", "float32", cache),
        ],
        "outputs": [
            _spec("logits", "float32", (rows, tokens, VOCABULARY)),
            _spec("new_keys0", "float32", new), _spec("new_values0", "float32", new),
        ],
    }  # fmt: skip


def _spec(name: str, dtype: str, dims: Sequence[int]) -> dict[str, object]:
    return {"name": name, "dtype": dtype, "dims": list(dims)}
