"""The model that every server runs; what it does stands in ``BENCH_WORK``."""

import json
import os
import time
from collections.abc import Callable

import numpy as np

WORK = json.loads(os.environ["BENCH_WORK"])


def run(rows: np.ndarray) -> np.ndarray:
    """Answer a batch of rows."""
    if WORK["latency_seconds"]:
        time.sleep(WORK["latency_seconds"])
    return rows * 2 if WORK["function"] == "double" else rows[:, : WORK["outputs"]]


def before(rows: np.ndarray) -> np.ndarray:
    """What Python does before the model."""
    return rows + 1 if WORK["staged"] else rows


def after(rows: np.ndarray) -> np.ndarray:
    """What Python does after the model."""
    return rows - 1 if WORK["staged"] else rows


def parse(tensor: bytes) -> np.ndarray:
    """The rows of one request's bytes."""
    return np.frombuffer(tensor, np.float32).reshape(-1, WORK["inputs"])


def run_batch(
    requests: list[np.ndarray], function: Callable[[np.ndarray], np.ndarray] = run
) -> list[np.ndarray]:
    """Answer several requests with one call of the model, or of another function."""
    ends = np.cumsum([len(each) for each in requests])
    return np.split(function(np.concatenate(requests)), ends[:-1])
