"""Toy models in NumPy, with latency and faults on demand.

A model file is JSON: ``{"function": "double", "inputs": [{"name", "dtype", "dims"}],
"outputs": [...], "latency_seconds": 0, "faults": {"-2": "kill"}}``. A fault
happens when any element of any input equals its key. The functions ``language``, ``argmax`` and
``topk`` are the graphs of a toy language model.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.agent.backends.batch_dim import batch_size_of
from services.agent.backends.encrypted import refuse_key
from services.agent.backends.options import ignored
from services.agent.backends.reference_language import argmax, language, topk
from shared.decryption import DecryptionKey
from shared.errors import ExecutionFailed, LoadFailed
from shared.membership import Device, GangPart, ModelFiles, ModelSignature, SubgraphSignature
from shared.tensors import Array, ElementType, TensorSpec

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "identity": lambda *xs: xs,
    "double": lambda x: x * 2,
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "head": lambda x: x[:, :1024],
}
# Made for the dims that a file names.
MADE: dict[str, Callable[[SubgraphSignature], Callable[..., Any]]] = {
    "language": language,
    "argmax": argmax,
    "topk": topk,
}


class ReferenceBackend:
    """Runs named NumPy functions."""

    formats: ClassVar[tuple[str, ...]] = ("reference",)

    def __init__(self, device: Device, part: GangPart | None = None) -> None:
        self._device = device
        self._part = part

    def join(self) -> None:
        """Toys need nobody."""

    def without_effect(self, files: ModelFiles) -> tuple[str, ...]:
        return ignored(files, self._device, ())

    def load(self, files: ModelFiles, key: DecryptionKey | None) -> "ReferenceModel":
        refuse_key(files, key)
        toys = [_read(Path(path)) for path in files.paths]
        subgraphs = tuple(toy.signature for toy in toys)
        batch_size = batch_size_of(files, subgraphs, self._part)
        return ReferenceModel(ModelSignature(files.key, subgraphs, batch_size), toys)


@dataclass(frozen=True, slots=True)
class _Toy:
    signature: SubgraphSignature
    function: Callable[..., Any]
    latency_seconds: float
    faults: dict[float, str]


def _read(path: Path) -> _Toy:
    try:
        described = json.loads(path.read_text())
        name = described["function"]
        signature = SubgraphSignature(_specs(described["inputs"]), _specs(described["outputs"]))
        return _Toy(
            signature,
            MADE[name](signature) if name in MADE else FUNCTIONS[name],
            described.get("latency_seconds", 0),
            {float(key): fault for key, fault in described.get("faults", {}).items()},
        )
    except OSError as failure:
        raise LoadFailed(f"model file '{path.name}': {failure.strerror}") from failure
    except (ValueError, KeyError, TypeError) as failure:
        raise LoadFailed(f"model file '{path.name}' is no toy: {failure!r}") from failure


class ReferenceModel:
    """A loaded toy."""

    def __init__(self, signature: ModelSignature, toys: list[_Toy]) -> None:
        self.signature = signature
        self._toys = toys

    def warm_up(self) -> None:
        """There is nothing to compile."""

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        toy = self._toys[subgraph]
        for key, fault in toy.faults.items():
            if any(np.any(each == key) for each in inputs):
                _fail(fault)
        if toy.latency_seconds:
            # A sleep of no time takes the kernel's timer slack, 50 microseconds and more.
            time.sleep(toy.latency_seconds)
        result = toy.function(*inputs)
        return list(result) if isinstance(result, tuple | list) else [result]


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
