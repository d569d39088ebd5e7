"""MINDIR models on MindSpore.

GraphCell is not thread-safe, checks no shapes and compiles again for each new
one; so all calls come from one thread, inputs are checked before, and dynamic
models are compiled once with ``set_inputs``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.agent.backends.batch_dim import batch_size_of
from services.agent.backends.mindspore_file import read_signature
from services.agent.backends.mindspore_options import Configured
from services.agent.backends.options import (
    ignored,
    refuse_what_changes_answers,
    wrong_device,
)
from shared.decryption import DecryptionKey
from shared.errors import ExecutionFailed, LoadFailed
from shared.membership import Device, GangPart, ModelFiles, ModelSignature, SubgraphSignature
from shared.tensors import Array, TensorSpec


class MindSporeBackend:
    """Runs MINDIR graphs on one device."""

    formats: ClassVar[tuple[str, ...]] = ("mindir",)

    def __init__(self, device: Device, part: GangPart | None = None) -> None:
        try:
            import mindspore  # noqa: PLC0415 (only device processes that need it pay for it)
        except ImportError as failure:
            raise LoadFailed(
                "MindSpore is not installed here: pip install mindserve[mindspore]"
            ) from failure
        self._ms = mindspore
        if device.type == "CPU":
            mindspore.set_device("CPU")
        else:
            _set_device(mindspore, device)
        self._device = device
        self._part = part
        self._configured = Configured(mindspore, device)

    def join(self) -> None:
        # Source: mindspore.communication.init
        from mindspore.communication import init  # noqa: PLC0415 (as above)

        try:
            init()
        except Exception as failure:
            raise LoadFailed(f"the ranks did not meet: {reason_of(failure)}") from failure

    def without_effect(self, files: ModelFiles) -> tuple[str, ...]:
        return ignored(files, self._device, self._configured.acting(files.options))

    def load(self, files: ModelFiles, key: DecryptionKey | None) -> "MindSporeModel":
        refuse_what_changes_answers(files, self._device)
        self._configured.act_on(files.options)
        signatures = tuple(read_signature(Path(path), key) for path in files.paths)
        batch_size = batch_size_of(files, signatures, self._part)
        signature = ModelSignature(files.key, signatures, batch_size)
        # The others would have to run it, too.
        again = self._part is None or self._part.group_size == 1
        graphs = [
            Graph(self._ms, Path(path), subgraph, key, warm_up_again=again)
            for path, subgraph in zip(files.paths, signatures, strict=True)
        ]
        return MindSporeModel(signature, graphs)


def _set_device(ms: Any, device: Device) -> None:
    try:
        ms.set_device(device.type, device.id)
    except Exception as failure:
        known = {"CPU": "cpu", "GPU": "gpu", "Ascend": "ascend"}
        there = [
            kind for kind, name in known.items() if getattr(ms.device_context, name).is_available()
        ]
        if device.type in there:
            raise LoadFailed(reason_of(failure)) from failure
        raise wrong_device(device, there) from failure


class MindSporeModel:
    """A loaded model: one graph for each subgraph."""

    def __init__(self, signature: ModelSignature, graphs: "list[Graph]") -> None:
        self._graphs = graphs
        self.signature = signature

    def warm_up(self) -> None:
        for graph in self._graphs:
            graph.warm_up()

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        return self._graphs[subgraph].run(inputs)


class Graph:
    """One MINDIR graph; ``warm_up`` comes before the first ``run``."""

    def __init__(
        self,
        ms: Any,
        path: Path,
        signature: SubgraphSignature,
        key: DecryptionKey | None,
        *,
        warm_up_again: bool = True,
    ) -> None:
        self._ms = ms
        self._warm_up_again = warm_up_again
        self._signature = signature
        self._where = f"model file '{path.name}'"
        self._example: list[Array] | None = [_example(spec) for spec in signature.inputs]
        secret = {} if key is None else {"dec_key": key.reveal(), "dec_mode": key.mode}
        try:
            self._graph = ms.load(str(path), **secret)
        except Exception as failure:
            # Not its whole text, which may hold what MindSpore was called with: the key.
            raise LoadFailed(f"{self._where}: {reason_of(failure)}") from failure
        self._compiled: Any = None

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Execute once; raises ExecutionFailed with MindSpore's reason in one line."""
        try:
            return self._call(inputs)
        except Exception as failure:
            # A failed call leaves a compiled graph unusable for ever.
            if self._warm_up_again:
                self.warm_up()
            raise ExecutionFailed(reason_of(failure)) from failure

    def warm_up(self) -> None:
        """Compile, so that no client pays for it."""
        self._compiled = self._fresh()
        if self._example is None:
            return
        try:
            self._call(self._example)
        except Exception as failure:
            if not any(-1 in spec.dims[1:] for spec in self._signature.inputs):
                raise LoadFailed(f"{self._where}: {reason_of(failure)}") from failure
            # The sizes that the graph leaves open were guessed wrong: the first client compiles.
            self._example = None
            self._compiled = self._fresh()

    def _fresh(self) -> Any:
        cell = self._ms.nn.GraphCell(self._graph)
        if any(dim < 0 for spec in self._signature.inputs for dim in spec.dims):
            cell.set_inputs(*(self._placeholder(spec) for spec in self._signature.inputs))
        return cell

    def _placeholder(self, spec: TensorSpec) -> Any:
        shape = [None if dim < 0 else dim for dim in spec.dims]
        return self._ms.Tensor(shape=shape, dtype=getattr(self._ms, spec.element_type.dtype.name))

    def _call(self, inputs: Sequence[Array]) -> list[Array]:
        # from_numpy shares memory: no copy of what lies together already.
        tensors = [self._ms.Tensor.from_numpy(np.asarray(each, order="C")) for each in inputs]
        result = self._compiled(*tensors)
        outputs = result if isinstance(result, tuple | list) else (result,)
        return [output.asnumpy() for output in outputs]


def _example(spec: TensorSpec) -> Array:
    """Data that most graphs accept: indices of 0, numbers of 1."""
    value = 0 if spec.element_type.dtype.kind in "iu" else 1
    dims = [1 if dim < 0 else dim for dim in spec.dims]
    return np.full(dims, value, spec.element_type.dtype)


def reason_of(failure: Exception) -> str:
    """The line of MindSpore's message that says what happened; the rest is for its makers."""
    lines = (line.strip() for line in str(failure).splitlines())
    # Lines that begin with "-" rule off and name sections.
    said = (line for line in lines if line and not line.startswith("-"))
    return next(said, type(failure).__name__)
