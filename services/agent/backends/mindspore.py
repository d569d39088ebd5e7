"""MINDIR models on MindSpore.

GraphCell is not thread-safe, checks no shapes and compiles again for each new
one; so all calls come from one thread, inputs are checked before, and dynamic
models are compiled once with ``set_inputs``.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.agent.backends import batch_size_of
from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles, ModelSignature, SubgraphSignature
from shared.tensors import Array, ElementType, TensorSpec

# mind_ir.proto TensorProto.DataType
_ELEMENT_TYPES = {
    1: ElementType.FLOAT32, 2: ElementType.UINT8, 3: ElementType.INT8, 4: ElementType.UINT16,
    5: ElementType.INT16, 6: ElementType.INT32, 7: ElementType.INT64, 9: ElementType.BOOL,
    10: ElementType.FLOAT16, 11: ElementType.FLOAT64, 12: ElementType.UINT32,
    13: ElementType.UINT64,
}  # fmt: skip


class MindSporeBackend:
    """Runs MINDIR graphs on one device."""

    formats: ClassVar[tuple[str, ...]] = ("mindir",)

    def __init__(self, device: Device) -> None:
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
            mindspore.set_device(device.type, device.id)

    def load(self, files: ModelFiles) -> "MindSporeModel":
        signatures = tuple(_signature(Path(path)) for path in files.paths)
        batch = batch_size_of(files, signatures[0].inputs[0].dims)
        cells = [
            self._load(path, signature)
            for path, signature in zip(files.paths, signatures, strict=True)
        ]
        return MindSporeModel(self._ms, ModelSignature(files.key, signatures, batch), cells)

    def _load(self, path: str, signature: SubgraphSignature) -> Any:
        try:
            cell = self._ms.nn.GraphCell(self._ms.load(path))
        except (RuntimeError, ValueError) as failure:
            raise LoadFailed(f"Load model failed, model file: '{Path(path).name}'") from failure
        if any(dim < 0 for spec in signature.inputs for dim in spec.dims):
            cell.set_inputs(*(self._placeholder(spec) for spec in signature.inputs))
        return cell

    def _placeholder(self, spec: TensorSpec) -> Any:
        shape = [None if dim < 0 else dim for dim in spec.dims]
        return self._ms.Tensor(shape=shape, dtype=getattr(self._ms, spec.element_type.dtype.name))


class MindSporeModel:
    """A loaded and warm model."""

    def __init__(self, ms: Any, signature: ModelSignature, cells: list[Any]) -> None:
        self._ms = ms
        self._cells = cells
        self.signature = signature

    def warm_up(self) -> None:
        """Run every subgraph once, so that no client pays for compilation."""
        for number, subgraph in enumerate(self.signature.subgraphs):
            self.execute(
                number,
                [
                    np.ones([max(dim, 1) for dim in spec.dims], spec.element_type.dtype)
                    for spec in subgraph.inputs
                ],
            )

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        tensors = [self._ms.Tensor.from_numpy(np.ascontiguousarray(each)) for each in inputs]
        result = self._cells[subgraph](*tensors)
        outputs = result if isinstance(result, tuple | list) else (result,)
        return [output.asnumpy() for output in outputs]


def _signature(path: Path) -> SubgraphSignature:
    """Inputs and outputs of a MINDIR file, read without MindSpore's own loader."""
    try:
        graph = _parse(path).graph
        inputs = tuple(_spec(value.name.split(":")[-1], value.tensor[0]) for value in graph.input)
        outputs = [
            tensor
            for value in graph.output
            for tensor in (value.tensor or [each.tensors[0] for each in value.attr_info.values])
        ]
        return SubgraphSignature(
            inputs, tuple(_spec(f"output{n}", t) for n, t in enumerate(outputs))
        )
    except FileNotFoundError as failure:
        raise LoadFailed(f"Load model failed, model file '{path.name}' does not exist") from failure
    except Exception as failure:
        raise LoadFailed(f"Load model failed, model file '{path.name}' is no MINDIR") from failure


def _parse(path: Path) -> Any:
    package = importlib.util.find_spec("mindspore")
    assert package is not None
    assert package.submodule_search_locations is not None
    source = Path(package.submodule_search_locations[0]) / "train" / "mind_ir_pb2.py"
    spec = importlib.util.spec_from_file_location("mind_ir_pb2", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ModelProto.FromString(path.read_bytes())


def _spec(name: str, tensor: Any) -> TensorSpec:
    return TensorSpec(name, _ELEMENT_TYPES[tensor.data_type], tuple(tensor.dims))
