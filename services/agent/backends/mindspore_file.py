"""Reads what a MINDIR file says about its inputs and outputs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from services.agent.backends.encrypted import check_encryption, not_decrypted
from shared.decryption import DecryptionKey
from shared.errors import LoadFailed
from shared.membership import SubgraphSignature
from shared.tensors import ElementType, TensorSpec

_ELEMENT_TYPES = {
    "FLOAT": ElementType.FLOAT32,
    "DOUBLE": ElementType.FLOAT64,
} | {kind.name: kind for kind in ElementType if kind not in (ElementType.STRING, ElementType.BYTES)}


def read_signature(path: Path, key: DecryptionKey | None = None) -> SubgraphSignature:
    """The signature of the graph in ``path``; outputs get names, the file has none.

    Raises LoadFailed naming the file, also when there is a key and the file is not
    encrypted, the other way round, or the key is wrong.
    """
    graph = _parse(path, key).graph
    if not graph.output:
        raise LoadFailed(f"model file '{path.name}' is not a MINDIR file")
    inputs = [
        _spec(path, value.name.split(":")[-1], tensor)
        for value in graph.input
        for tensor in value.tensor
    ]
    outputs = [
        _spec(path, f"output{number}", tensor)
        for number, tensor in enumerate(_tensors(graph.output))
    ]
    return SubgraphSignature(tuple(inputs), tuple(outputs))


def _parse(path: Path, key: DecryptionKey | None) -> Any:
    from mindspore.train import mind_ir_pb2  # noqa: PLC0415 (importing MindSpore takes seconds)

    try:
        return mind_ir_pb2.ModelProto.FromString(_content(path, key))
    except OSError as failure:
        raise LoadFailed(f"model file '{path.name}': {failure.strerror}") from failure
    except (DecodeError, UnicodeDecodeError) as failure:
        if key is not None:
            raise not_decrypted(path, key) from None
        raise LoadFailed(f"model file '{path.name}' is not a MINDIR file") from failure


def _content(path: Path, key: DecryptionKey | None) -> bytes:
    """What the file says, decrypted by what MindSpore decrypts its checkpoints with."""
    from mindspore._c_expression import _decrypt, _is_cipher_file  # noqa: PLC0415

    content = path.read_bytes()
    encrypted: bool = _is_cipher_file(str(path))
    check_encryption(path, key, encrypted=encrypted)
    if key is None:
        return content
    secret = key.reveal()
    try:
        plain: bytes | None = _decrypt(str(path), secret, len(secret), key.mode)
    except Exception:
        # Its text may hold what it was called with.
        plain = None
    if plain is None:
        raise not_decrypted(path, key) from None
    return plain


def _tensors(values: Any) -> Iterator[Any]:
    """Every tensor of a graph's outputs; several outputs are one tuple."""
    for value in values:
        yield from value.tensor
        for member in value.attr_info.values:
            yield from member.tensors


def _spec(path: Path, name: str, tensor: Any) -> TensorSpec:
    kind = tensor.DataType.Name(tensor.data_type)
    if kind not in _ELEMENT_TYPES:
        raise LoadFailed(f"model file '{path.name}': '{name}' is {kind}, which cannot be served")
    return TensorSpec(name, _ELEMENT_TYPES[kind], tuple(tensor.dims))
