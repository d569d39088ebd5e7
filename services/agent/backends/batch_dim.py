"""Finds the batch size of a model: dim 0 of every input that has rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from shared.errors import LoadFailed
from shared.membership import GangPart, ModelFiles, SubgraphSignature
from shared.tensors import ANY_SIZE, TensorSpec

DEFAULT_MAX_BATCH_SIZE = 32


def batch_size_of(
    files: ModelFiles, subgraphs: Sequence[SubgraphSignature], part: GangPart | None = None
) -> int:
    """Rows of one call: the static batch dim, or the most that a dynamic one is given.

    0 for a rank into which nothing goes: it takes as many as come from other ranks. The graphs
    of language models differ in it, and are called with what fits each.
    Raises LoadFailed naming the inputs or outputs that do not agree.
    """
    if not files.with_batch_dim or files.language is not None:
        return 1
    if part is not None and not any(each.inputs for each in subgraphs):
        return 0
    _check_indices(files, subgraphs)
    sizes = list(_sizes(files, "input", [each.inputs for each in subgraphs]))
    first_name, first = sizes[0]
    outputs = _sizes(files, "output", [each.outputs for each in subgraphs])
    # An output may leave its size open: it is known when it comes.
    for name, size in [*sizes, *(named for named in outputs if named[1] != ANY_SIZE)]:
        if size != first:
            raise LoadFailed(
                f"model '{files.key}': {name} has batch size {_text(size)},"
                f" {first_name} has {_text(first)}"
            )
    return files.max_batch_size or DEFAULT_MAX_BATCH_SIZE if first == ANY_SIZE else first


def _check_indices(files: ModelFiles, subgraphs: Sequence[SubgraphSignature]) -> None:
    without = set(files.without_batch_dim_inputs)
    counts = [len(each.inputs) for each in subgraphs]
    for index in sorted(without - set(range(max(counts)))):
        raise LoadFailed(
            f"model '{files.key}' has {max(counts)} inputs,"
            f" without_batch_dim_inputs names input {index}"
        )
    for path, count in zip(files.paths, counts, strict=True):
        if without >= set(range(count)):
            raise LoadFailed(
                f"model '{files.key}': no input of '{Path(path).name}' has a batch dim"
            )


def _sizes(
    files: ModelFiles, kind: str, specs_of_files: Sequence[Sequence[TensorSpec]]
) -> Iterator[tuple[str, int]]:
    """Dim 0 of everything that has rows, by a name for messages."""
    for path, specs in zip(files.paths, specs_of_files, strict=True):
        for index, spec in enumerate(specs):
            if kind == "input" and index in files.without_batch_dim_inputs:
                continue
            name = f"{kind} '{spec.name}' of '{Path(path).name}'"
            if not spec.dims:
                raise LoadFailed(f"model '{files.key}': {name} has no batch dim, it is a scalar")
            yield name, spec.dims[0]


def _text(size: int) -> str:
    return "any" if size == ANY_SIZE else str(size)
