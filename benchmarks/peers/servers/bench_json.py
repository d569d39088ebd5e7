"""Tensors as JSON: lists of numbers, or base64 where the request came so."""

import base64

import numpy as np
from bench_model import WORK, parse


def read(request: dict) -> np.ndarray:
    """The rows of a request."""
    content = request["x"]
    if isinstance(content, str):
        return parse(base64.b64decode(content))
    return np.asarray(content, np.float32)


def write(rows: np.ndarray) -> dict:
    """The answer: base64 when it is long, or when its last bits, and so its digits, may differ."""
    if rows.size > 1000 or WORK["model"]:
        return {"y": base64.b64encode(np.ascontiguousarray(rows)).decode()}
    return {"y": rows.tolist()}
