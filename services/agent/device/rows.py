"""Fits a batch to a model: checks it, pads or cuts it, joins what comes back."""

from collections.abc import Callable, Sequence

import numpy as np

from shared.errors import ExecutionFailed, InvalidRequest
from shared.membership import ModelFiles, ModelSignature
from shared.tensors import Array, TensorSpec, check_value, shape_text

Execute = Callable[[list[Array]], list[Array]]


def run_rows(
    files: ModelFiles,
    signature: ModelSignature,
    subgraph: int,
    inputs: Sequence[Array],
    rows: int,
    execute: Execute,
) -> list[Array]:
    """Execute ``rows`` rows in as many calls as the model's batch size asks for.

    Raises InvalidRequest naming the model, what it expects and what came.
    """
    where = f"model '{files.key}'"
    if not 0 <= subgraph < len(signature.subgraphs):
        raise InvalidRequest(
            f"{where} has {len(signature.subgraphs)} subgraphs, no subgraph {subgraph}"
        )
    specs = signature.subgraphs[subgraph].inputs
    batched = [
        files.with_batch_dim and n not in files.without_batch_dim_inputs for n in range(len(specs))
    ]
    _check(specs, batched, inputs, rows, where)
    if not files.with_batch_dim:
        return execute(list(inputs))
    if not specs:
        return [_first(output, rows) for output in execute([])]
    static = specs[batched.index(True)].dims[0] > 0 if True in batched else False
    parts = []
    for start in range(0, rows, signature.batch_size):
        count = min(signature.batch_size, rows - start)
        target = signature.batch_size if static else count
        cut = [
            _cut(value, start, count, target) if has_rows else value
            for value, has_rows in zip(inputs, batched, strict=True)
        ]
        parts.append([_trim(output, target, count) for output in execute(cut)])
    if len(parts) == 1:
        return parts[0]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _check(
    specs: Sequence[TensorSpec],
    batched: Sequence[bool],
    inputs: Sequence[Array],
    rows: int,
    where: str,
) -> None:
    if rows < 1:
        raise InvalidRequest(f"{where} expected at least 1 row, got {rows}")
    if len(inputs) != len(specs):
        raise InvalidRequest(f"{where} expected {len(specs)} inputs, got {len(inputs)}")
    for spec, value, has_rows in zip(specs, inputs, batched, strict=True):
        if not has_rows:
            check_value(spec, value, f"{where}: ")
        elif value.ndim == 0 or value.shape[0] != rows:
            got = shape_text(value.shape)
            raise InvalidRequest(f"{where}: input '{spec.name}' expected {rows} rows, got {got}")
        else:
            check_value(spec.without_batch_dim(), value[0], f"{where}: ")


def _cut(value: Array, start: int, count: int, target: int) -> Array:
    part = value[start : start + count]
    if count == target:
        return part
    return np.concatenate([part, np.repeat(part[:1], target - count, axis=0)])


def _first(output: Array, rows: int) -> Array:
    """What is there of the rows that came from other ranks, as many as fit in one call."""
    if output.ndim == 0 or output.shape[0] < rows:
        raise ExecutionFailed(f"an output of shape {shape_text(output.shape)} for {rows} rows")
    return output[:rows]


def _trim(output: Array, target: int, count: int) -> Array:
    if output.ndim == 0 or output.shape[0] != target:
        raise ExecutionFailed(f"an output of shape {shape_text(output.shape)} for {target} rows")
    return output[:count]
