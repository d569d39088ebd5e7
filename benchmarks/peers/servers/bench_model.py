"""The model that every server runs; what it does stands in ``BENCH_WORK``."""

import json
import os
import threading
import time
from collections.abc import Callable

import numpy as np

WORK = json.loads(os.environ["BENCH_WORK"])
_lock = threading.Lock()
_model: Callable[[np.ndarray], np.ndarray] | None = None


def run(rows: np.ndarray) -> np.ndarray:
    """Answer a batch of rows."""
    if WORK["model"]:
        return run_model(rows)
    if WORK["latency_seconds"]:
        time.sleep(WORK["latency_seconds"])
    return rows * 2 if WORK["function"] == "double" else rows[:, : WORK["outputs"]]


def run_model(rows: np.ndarray) -> np.ndarray:
    """Answer a batch with MindSpore, which must not be called by two threads at once."""
    global _model  # noqa: PLW0603 (one model in a process)
    with _lock:
        if _model is None:
            _model = load_model()
        return _model(rows)


def load_model() -> Callable[[np.ndarray], np.ndarray]:
    """The MINDIR model of ``BENCH_MODEL``, compiled once for batches of any size."""
    import mindspore as ms  # noqa: PLC0415 (most works do without)

    ms.set_device("CPU")
    cell = ms.nn.GraphCell(ms.load(os.environ["BENCH_MODEL"]))
    cell.set_inputs(ms.Tensor(shape=[None, *WORK["shape"]], dtype=ms.float32))
    return lambda rows: cell(ms.Tensor.from_numpy(np.ascontiguousarray(rows))).asnumpy()


def before(rows: np.ndarray) -> np.ndarray:
    """What Python does before the model."""
    return rows + 1 if WORK["staged"] else rows


def after(rows: np.ndarray) -> np.ndarray:
    """What Python does after the model."""
    return rows - 1 if WORK["staged"] else rows


def parse(tensor: bytes) -> np.ndarray:
    """The rows of one request's bytes."""
    return np.frombuffer(tensor, np.float32).reshape(-1, *WORK["shape"])


def run_batch(
    requests: list[np.ndarray], function: Callable[[np.ndarray], np.ndarray] = run
) -> list[np.ndarray]:
    """Answer several requests with one call of the model, or of another function."""
    ends = np.cumsum([len(each) for each in requests])
    return np.split(function(np.concatenate(requests)), ends[:-1])
