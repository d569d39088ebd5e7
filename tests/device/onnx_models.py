"""The models of ``tests.device.models`` that every backend has, as ONNX files."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from shared.tensors import ElementType

KINDS = [kind for kind in ElementType if kind < ElementType.STRING]
_TYPES = {kind: helper.np_dtype_to_tensor_dtype(kind.dtype) for kind in KINDS}
ROWS, FOURS, WHOLE = ("n", 2), (4, 3), (2, 2)
# Operation, dims of its inputs, dims of its outputs; an open size has a name.
MODELS = {
    "add": ("Add", [ROWS, ROWS], [ROWS]),
    "sub": ("Sub", [ROWS, ROWS], [ROWS]),
    "add_fours": ("Add", [FOURS, FOURS], [FOURS]),
    "add_mixed": ("Add", [ROWS, (4, 2)], [(4, 2)]),
    "add_whole": ("Add", [WHOLE, WHOLE], [WHOLE]),
    "add_bias": ("Add", [FOURS, (3,)], [FOURS]),
    "echo_scalar": ("Identity", [WHOLE, ()], [WHOLE, ()]),
    "add_open": ("Add", [("n", "m"), ("n", "k")], [("n", "l")]),
    "echo": ("Identity", [ROWS, ROWS], [ROWS, ROWS]),
}


def write_models(folder: Path) -> Path:
    """Write every model as ``NAME.onnx``."""
    for name, (operation, inputs, outputs) in MODELS.items():
        kinds = [TensorProto.FLOAT] * 2
        _write(folder / f"{name}.onnx", operation, inputs, outputs, kinds)
    rows = [ROWS] * len(KINDS)
    _write(folder / "echo_all.onnx", "Identity", rows, rows, [_TYPES[kind] for kind in KINDS])
    return folder


def _write(path, operation, inputs, outputs, kinds):
    taken = [f"x{number}" for number in range(1, len(inputs) + 1)]
    given = [f"y{number}" for number in range(1, len(outputs) + 1)]
    if operation == "Identity":
        nodes = [helper.make_node(operation, [x], [y]) for x, y in zip(taken, given, strict=True)]
    else:
        nodes = [helper.make_node(operation, taken, given)]
    graph = helper.make_graph(
        nodes,
        path.stem,
        [
            helper.make_tensor_value_info(name, kind, dims)
            for name, kind, dims in zip(taken, kinds, inputs, strict=True)
        ],
        [
            helper.make_tensor_value_info(name, kind, dims)
            for name, kind, dims in zip(given, kinds, outputs, strict=False)
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
