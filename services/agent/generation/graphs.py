"""(pure) The graphs of a language model: which is which, their buckets, and whether they fit."""

from dataclasses import dataclass
from pathlib import Path

from shared.errors import LoadFailed
from shared.membership import ModelFiles, SubgraphSignature
from shared.servable import LanguageGraphs
from shared.tensors import ElementType, TensorSpec, dims_match

# Before the caches: tokens and positions.
_FIRST_CACHE = 2


@dataclass(frozen=True, slots=True)
class Bucket:
    """The static shape of one graph."""

    rows: int
    """B: sequences at once."""
    tokens: int
    """T: new tokens of each."""
    length: int
    """S: how many tokens of each may be in the cache."""
    fused_argmax: bool = False
    """Whether the last output says which tokens are the most likely."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What the graphs for prompts and for decoding have in common."""

    layers: int
    heads: int
    head_dim: int
    vocabulary: int
    adapters: bool
    """Whether the last input chooses an adapter for each row."""


@dataclass(frozen=True, slots=True)
class Graphs:
    """A language model's graphs, each by its number among the model's files."""

    kind: Kind
    buckets: tuple[Bucket, ...]
    """Of the graphs for prompts, then of those that decode."""
    first_decode: int
    argmax: int | None
    topk: int | None
    top: int = 0
    """How many tokens the topk graph finds."""

    @property
    def slots(self) -> int:
        """How many sequences are in the cache at most: the rows of the largest decode graph."""
        return max(bucket.rows for bucket in self.buckets[self.first_decode :])

    @property
    def lengths(self) -> list[int]:
        """All lengths of caches, the shortest first."""
        return sorted({bucket.length for bucket in self.buckets})

    @property
    def first_chooser(self) -> int:
        """How many graphs compute tokens; the others choose."""
        return len(self.buckets)


def graphs_of(
    files: ModelFiles, language: LanguageGraphs, signatures: tuple[SubgraphSignature, ...]
) -> Graphs:
    """What the files of a loaded language model are.

    Raises LoadFailed naming the file that is no such graph, or that does not fit the first one.
    """
    names = [f"model '{files.key}': '{Path(path).name}'" for path in files.paths]
    extending = language.prefill + language.decode
    expected = extending + language.argmax + language.topk
    if language.decode < 1 or len(signatures) != expected:
        raise LoadFailed(
            f"model '{files.key}': declared are {language.prefill} prefill and {language.decode}"
            f" decode graphs, {language.argmax:d} argmax and {language.topk:d} topk, at least one"
            f" of them to decode; {len(signatures)} files came"
        )
    if language.block_size < 1:
        raise LoadFailed(f"model '{files.key}': block_size: expected at least 1, got 0")
    read = [
        _read(name, signature)
        for name, signature in zip(names[:extending], signatures, strict=False)
    ]
    kind = read[0][0]
    for name, (other, _) in zip(names, read, strict=False):
        if other != kind:
            raise LoadFailed(f"{name} has {_text(other)}, '{_file(files)}' has {_text(kind)}")
    buckets = tuple(bucket for _, bucket in read)
    for name, bucket in zip(names[language.prefill :], buckets[language.prefill :], strict=False):
        if bucket.tokens != 1:
            raise LoadFailed(
                f"{name} is declared to decode: expected one token of each row, got {bucket.tokens}"
            )
    graphs = Graphs(
        kind,
        buckets,
        language.prefill,
        extending if language.argmax else None,
        extending + language.argmax if language.topk else None,
    )
    return _with_chosers(graphs, names, signatures)


def _with_chosers(
    graphs: Graphs, names: list[str], signatures: tuple[SubgraphSignature, ...]
) -> Graphs:
    """Checks the argmax and topk graphs."""
    rows = (-1, graphs.kind.vocabulary)
    top = 0
    if graphs.argmax is not None:
        name, signature = names[graphs.argmax], signatures[graphs.argmax]
        _expect_count(name, signature, 1, 1)
        _expect(name, "input", signature.inputs[0], ElementType.FLOAT32, rows)
        _expect(name, "output", signature.outputs[0], ElementType.INT32, (-1,))
    if graphs.topk is not None:
        name, signature = names[graphs.topk], signatures[graphs.topk]
        _expect_count(name, signature, 1, 2)
        _expect(name, "input", signature.inputs[0], ElementType.FLOAT32, rows)
        top = signature.outputs[0].dims[-1] if signature.outputs[0].dims else 0
        _expect(name, "output", signature.outputs[0], ElementType.FLOAT32, (-1, top))
        _expect(name, "output", signature.outputs[1], ElementType.INT32, (-1, top))
    return Graphs(graphs.kind, graphs.buckets, graphs.first_decode, graphs.argmax, graphs.topk, top)


def _read(name: str, signature: SubgraphSignature) -> tuple[Kind, Bucket]:
    inputs, outputs = signature.inputs, signature.outputs
    layers, adapters = divmod(len(inputs) - _FIRST_CACHE, 2)
    if layers < 1:
        raise LoadFailed(
            f"{name}: expected inputs for tokens, positions, and keys and values of each layer,"
            f" got {len(inputs)}"
        )
    fused = len(outputs) == 2 + 2 * layers
    if not fused and len(outputs) != 1 + 2 * layers:
        raise LoadFailed(
            f"{name}: expected outputs for logits, and new keys and values of {layers} layers,"
            f" got {len(outputs)}"
        )
    cache = inputs[_FIRST_CACHE].dims
    tokens = inputs[0].dims
    logits = outputs[0].dims
    if len(tokens) != 2 or len(cache) != 4 or len(logits) != 3 or min(*tokens, *cache) < 1:
        raise LoadFailed(
            f"{name}: expected tokens [B, T], keys [B, H, S, D] of fixed sizes and logits"
            f" [B, T, V], got {inputs[0]}, {inputs[_FIRST_CACHE]} and {outputs[0]}"
        )
    rows, count = tokens
    _, heads, length, head_dim = cache
    vocabulary = logits[2]
    for spec in inputs[:_FIRST_CACHE]:
        _expect(name, "input", spec, ElementType.INT32, (rows, count))
    for spec in inputs[_FIRST_CACHE : _FIRST_CACHE + 2 * layers]:
        _expect(name, "input", spec, ElementType.FLOAT32, (rows, heads, length, head_dim))
    if adapters:
        _expect(name, "input", inputs[-1], ElementType.INT32, (rows,))
    _expect(name, "output", outputs[0], ElementType.FLOAT32, (rows, count, vocabulary))
    for spec in outputs[1 : 1 + 2 * layers]:
        _expect(name, "output", spec, ElementType.FLOAT32, (rows, heads, count, head_dim))
    if fused:
        _expect(name, "output", outputs[-1], ElementType.INT32, (rows, count))
    kind = Kind(layers, heads, head_dim, vocabulary, bool(adapters))
    return kind, Bucket(rows, count, length, fused)


def _expect(
    name: str, what: str, spec: TensorSpec, kind: ElementType, dims: tuple[int, ...]
) -> None:
    expected = TensorSpec(spec.name, kind, dims)
    if spec.element_type != kind or not dims_match(dims, spec.dims):
        raise LoadFailed(f"{name}: {what} '{spec.name}': expected {expected}, got {spec}")


def _expect_count(name: str, signature: SubgraphSignature, inputs: int, outputs: int) -> None:
    got = len(signature.inputs), len(signature.outputs)
    if got != (inputs, outputs):
        raise LoadFailed(
            f"{name}: expected {inputs} input and {outputs} outputs, got {got[0]} and {got[1]}"
        )


def _text(kind: Kind) -> str:
    adapters = "with" if kind.adapters else "without"
    return (
        f"{kind.layers} layers of {kind.heads} heads of {kind.head_dim}, a vocabulary of"
        f" {kind.vocabulary}, {adapters} adapters"
    )


def _file(files: ModelFiles) -> str:
    return Path(files.paths[0]).name
