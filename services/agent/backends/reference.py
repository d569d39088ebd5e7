"""Toy models in NumPy, with latency and faults on demand.

A model file is JSON: ``{"function": "double", "inputs": [{"name", "dtype", "dims"}],
"outputs": [...], "latency_seconds": 0, "faults": {"-2": "kill"}}``. A fault
happens when any element of any input equals its key.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.agent.backends import batch_size_of
from shared.errors import ExecutionFailed, LoadFailed
from shared.membership import Device, ModelFiles, ModelSignature, SubgraphSignature
from shared.tensors import Array, ElementType, TensorSpec

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda *xs: xs,
    "double": lambda x: x * 2,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
}


class ReferenceBackend:
    """Runs named NumPy functions."""

    formats: ClassVar[tuple[str, ...]] = ("reference",)

    def __init__(self, device: Device) -> None:
        del device

    def load(self, files: ModelFiles) -> "ReferenceModel":
        return ReferenceModel(files, [_read(Path(path)) for path in files.paths])


def _read(path: Path) -> dict[str, Any]:
    try:
        described: dict[str, Any] = json.loads(path.read_text())
        described["function"] = FUNCTIONS[described["function"]]
    except (OSError, ValueError, KeyError) as failure:
        raise LoadFailed(f"model file '{path.name}' is unusable: {failure!r}") from failure
    return described


class ReferenceModel:
    """A loaded toy."""

    def __init__(self, files: ModelFiles, subgraphs: list[dict[str, Any]]) -> None:
        self._subgraphs = subgraphs
        signatures = tuple(
            SubgraphSignature(_specs(each["inputs"]), _specs(each["outputs"])) for each in subgraphs
        )
        batch = batch_size_of(files, signatures[0].inputs[0].dims)
        self.signature = ModelSignature(files.key, signatures, batch)

    def warm_up(self) -> None:
        """There is nothing to compile."""

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        described = self._subgraphs[subgraph]
        for key, fault in described.get("faults", {}).items():
            if any(np.any(each == float(key)) for each in inputs):
                _fail(fault)
        time.sleep(described.get("latency_seconds", 0))
        result = described["function"](*inputs)
        return list(result) if isinstance(result, tuple) else [result]


def _fail(fault: str) -> None:
    if fault == "raise":
        raise ExecutionFailed("a fault on demand")
    if fault == "hang":
        signal.pause()
    if fault == "exit":
        os._exit(3)
    os.kill(os.getpid(), signal.SIGKILL)


def _specs(described: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(each["name"], ElementType.of(np.dtype(each["dtype"])), tuple(each["dims"]))
        for each in described
    )
