"""ONNX models on ONNX Runtime, on a CPU.

MindSpore exports ONNX too (``mindspore.export(..., file_format="ONNX")``); on a CPU ONNX Runtime
answers sooner than MindSpore. Source: https://onnxruntime.ai/docs/api/python
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.agent.backends.batch_dim import batch_size_of
from services.agent.backends.encrypted import refuse_key
from services.agent.backends.options import ignored, wrong_device
from shared.decryption import DecryptionKey
from shared.errors import ExecutionFailed, LoadFailed
from shared.membership import Device, GangPart, ModelFiles, ModelSignature, SubgraphSignature
from shared.servable import ModelOptions
from shared.tensors import ANY_SIZE, Array, ElementType, TensorSpec

_ELEMENT_TYPES = {
    f"tensor({name})": kind
    for name, kind in (
        ("float", ElementType.FLOAT32),
        ("double", ElementType.FLOAT64),
        *(
            (kind.name.lower(), kind)
            for kind in ElementType
            if kind not in (ElementType.STRING, ElementType.BYTES)
        ),
    )
}
_ONLY_ERRORS = 3


class OnnxBackend:
    """Runs ONNX graphs on the CPU."""

    formats: ClassVar[tuple[str, ...]] = ("onnx",)

    def __init__(self, device: Device, part: GangPart | None = None) -> None:
        del part
        if device.type != "CPU":
            raise wrong_device(device, ["CPU"])
        try:
            import onnxruntime  # noqa: PLC0415 (only device processes that need it pay for it)
        except ImportError as failure:
            raise LoadFailed(
                "ONNX Runtime is not installed here: pip install mindserve[onnx]"
            ) from failure
        onnxruntime.set_default_logger_severity(_ONLY_ERRORS)
        self._runtime = onnxruntime
        self._device = device

    def join(self) -> None:
        """Each rank runs on its own."""

    def without_effect(self, files: ModelFiles) -> tuple[str, ...]:
        return ignored(files, self._device, ("thread_num", "enable_parallel"))

    def load(self, files: ModelFiles, key: DecryptionKey | None) -> "OnnxModel":
        refuse_key(files, key)
        sessions = [self._session(Path(path), files.options) for path in files.paths]
        signatures = tuple(
            _signature(Path(path), session)
            for path, session in zip(files.paths, sessions, strict=True)
        )
        signature = ModelSignature(files.key, signatures, batch_size_of(files, signatures))
        return OnnxModel(signature, sessions)

    def _session(self, path: Path, options: ModelOptions) -> Any:
        where = f"model file '{path.name}'"
        try:
            # Read here, so that a missing file has the system's own reason.
            content = path.read_bytes()
        except OSError as failure:
            raise LoadFailed(f"{where}: {failure.strerror}") from failure
        if not content:
            raise LoadFailed(f"{where} is empty")
        try:
            # By its path: weights may lie in files beside it.
            return self._runtime.InferenceSession(
                str(path), self._threads(options), providers=["CPUExecutionProvider"]
            )
        except Exception as failure:
            raise LoadFailed(f"{where}: {_reason_of(failure)}") from failure

    def _threads(self, options: ModelOptions) -> Any:
        """How many threads work on one operator, and whether operators run side by side."""
        told = self._runtime.SessionOptions()
        # Unless told how many, ONNX Runtime binds a thread to each core of the host.
        cores = len(set(options.thread_affinity_core_list))
        told.intra_op_num_threads = options.thread_num or cores
        if options.enable_parallel:
            told.execution_mode = self._runtime.ExecutionMode.ORT_PARALLEL
            told.inter_op_num_threads = options.thread_num or cores
        return told


class OnnxModel:
    """A loaded model: one session for each subgraph."""

    def __init__(self, signature: ModelSignature, sessions: Sequence[Any]) -> None:
        self.signature = signature
        self._sessions = sessions
        self._names = [[each.name for each in session.get_inputs()] for session in sessions]

    def warm_up(self) -> None:
        for subgraph, signature in enumerate(self.signature.subgraphs):
            inputs = [_example(spec) for spec in signature.inputs]
            try:
                self.execute(subgraph, inputs)
            except ExecutionFailed as failure:
                # Sizes that the graph leaves open may have been guessed wrong.
                if not any(ANY_SIZE in spec.dims[1:] for spec in signature.inputs):
                    raise LoadFailed(failure.message) from failure

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        given = dict(zip(self._names[subgraph], inputs, strict=True))
        try:
            return [np.asarray(each) for each in self._sessions[subgraph].run(None, given)]
        except Exception as failure:
            raise ExecutionFailed(_reason_of(failure)) from failure


def _signature(path: Path, session: Any) -> SubgraphSignature:
    return SubgraphSignature(
        tuple(_specs(path, session.get_inputs())), tuple(_specs(path, session.get_outputs()))
    )


def _specs(path: Path, values: Iterable[Any]) -> Iterable[TensorSpec]:
    for value in values:
        kind = _ELEMENT_TYPES.get(value.type)
        if kind is None:
            raise LoadFailed(
                f"model file '{path.name}': '{value.name}' is {value.type}, which cannot be served"
            )
        # Sizes without a number have a name, or none.
        dims = tuple(size if isinstance(size, int) else ANY_SIZE for size in value.shape)
        yield TensorSpec(value.name, kind, dims)


def _example(spec: TensorSpec) -> Array:
    return np.zeros([1 if dim < 0 else dim for dim in spec.dims], spec.element_type.dtype)


def _reason_of(failure: Exception) -> str:
    """What ONNX Runtime says, without the places in its own sources and ours."""
    text = str(failure).rpartition("Status Message: ")[2].splitlines()[0]
    return re.sub(r"\S*/\S*\s*", "", text).strip() or type(failure).__name__
