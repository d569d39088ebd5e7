"""Models on MindSpore Lite, whose package ``mindspore_lite`` is not on PyPI.

Written against the documented Python interface of MindSpore Lite 2.x; tests run it on a
stand-in. Source: https://www.mindspore.cn/lite/api/en/master/mindspore_lite.html
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from services.agent.backends.batch_dim import batch_size_of
from services.agent.backends.mindspore_lite_context import (
    ACTS_ON,
    check_rank,
    lite_context,
    provider_of,
)
from services.agent.backends.mindspore_lite_rank import rank_in
from services.agent.backends.mindspore_lite_weights import WeightGroups
from services.agent.backends.options import ignored, refuse_what_changes_answers
from shared.decryption import DecryptionKey
from shared.errors import ExecutionFailed, LoadFailed
from shared.membership import Device, GangPart, ModelFiles, ModelSignature, SubgraphSignature
from shared.tensors import ANY_SIZE, Array, ElementType, TensorSpec

_NOT_INSTALLED = (
    "MindSpore Lite is not installed here: models of format MindIR_Lite, and with enable_lite those"
    " of MindIR, need the package mindspore_lite, which is not on PyPI; its wheels are at"
    " https://www.mindspore.cn/lite"
)
_OLD_FILE = ".ms"


class MindSporeLiteBackend:
    """Runs what MindSpore Lite's converter makes, on one device.

    Which rank of a distributed model this process is, if any, stands in its environment: agents,
    mpirun and start scripts of MindSpore put it there.
    """

    formats: ClassVar[tuple[str, ...]] = ("mindir_lite",)

    def __init__(self, device: Device, part: GangPart | None = None) -> None:
        try:
            import mindspore_lite  # noqa: PLC0415 (only device processes that need it pay for it)
        except ModuleNotFoundError as failure:
            raise LoadFailed(_NOT_INSTALLED) from failure
        except ImportError as failure:
            raise LoadFailed(f"MindSpore Lite cannot be imported: {_reason(failure)}") from failure
        self._lite = mindspore_lite
        self._device = device
        self._part = part
        # A stage of one rank has nobody to compute with.
        is_alone = part is not None and part.group_size == 1
        self._rank = None if is_alone else rank_in(os.environ)
        check_rank(device, self._rank)
        self._weights = WeightGroups(mindspore_lite)

    def join(self) -> None:
        """Ranks meet when their first model is built, or run."""

    def without_effect(self, files: ModelFiles) -> tuple[str, ...]:
        return ignored(files, self._device, ACTS_ON)

    def load(self, files: ModelFiles, key: DecryptionKey | None) -> "LiteModel":
        if key is not None:
            raise LoadFailed(
                f"model file '{Path(files.paths[0]).name}': a dec_key was given, but MindSpore"
                " Lite's Python interface takes none"
            )
        refuse_what_changes_answers(files, self._device)
        models = [self._lite.Model() for _ in files.paths]
        provider = provider_of(files, self._device, self._rank)
        # Before any of them is built: from then on its weights lie where they lie.
        self._weights.join(files, self._device, provider, models)
        graphs = [
            self._build(model, Path(path), files)
            for model, path in zip(models, files.paths, strict=True)
        ]
        signatures = tuple(graph.signature for graph in graphs)
        batch_size = batch_size_of(files, signatures, self._part)
        return LiteModel(ModelSignature(files.key, signatures, batch_size), graphs)

    def _build(self, model: Any, path: Path, files: ModelFiles) -> "LiteGraph":
        where = f"model file '{path.name}'"
        types = self._lite.ModelType
        old = path.suffix == _OLD_FILE
        if old and not hasattr(types, "MINDIR_LITE"):
            raise LoadFailed(f"{where}: this MindSpore Lite reads .mindir files, convert it again")
        try:
            # Opened here, so that a missing file has the system's own reason.
            path.open("rb").close()
        except OSError as failure:
            raise LoadFailed(f"{where}: {failure.strerror}") from failure
        table = self._rank.rank_table_file if self._rank is not None else ""
        # It goes before what the config file says.
        more = {"config_dict": {"ascend_context": {"rank_table_file": table}}} if table else {}
        try:
            model.build_from_file(
                str(path),
                types.MINDIR_LITE if old else types.MINDIR,
                lite_context(self._lite, files, self._device, self._rank),
                files.options.config_file,
                **more,
            )
        except LoadFailed as failure:
            raise LoadFailed(f"{where}: {failure.message}") from failure
        except Exception as failure:
            raise LoadFailed(f"{where}: {_reason(failure)}") from failure
        return LiteGraph(model, path.name, files)


class LiteModel:
    """A loaded model: one graph for each subgraph."""

    def __init__(self, signature: ModelSignature, graphs: "Sequence[LiteGraph]") -> None:
        self.signature = signature
        self._graphs = graphs

    def warm_up(self) -> None:
        for graph in self._graphs:
            graph.warm_up()

    def execute(self, subgraph: int, inputs: Sequence[Array]) -> list[Array]:
        return self._graphs[subgraph].run(inputs)


class LiteGraph:
    """One built ``mindspore_lite.Model``, however it was built."""

    def __init__(self, model: Any, name: str, files: ModelFiles) -> None:
        self._model = model
        self._where = f"model file '{name}'"
        inputs = tuple(self._specs(model.get_inputs()))
        open_sizes = any(ANY_SIZE in spec.dims for spec in inputs)
        self._guessed = any(ANY_SIZE in spec.dims[1:] for spec in inputs)
        self._examples = [_example(spec) for spec in inputs]
        outputs = tuple(self._outputs(files) if open_sizes else self._specs(model.get_outputs()))
        self.signature = SubgraphSignature(inputs, outputs)

    def _outputs(self, files: ModelFiles) -> Iterator[TensorSpec]:
        """What comes out depends on what goes in: seen from an example."""
        try:
            self._fit(self._examples)
        except Exception as failure:
            raise LoadFailed(f"{self._where}: {_reason(failure)}") from failure
        for spec in self._specs(self._model.get_outputs()):
            dims = list(spec.dims)
            if files.with_batch_dim and dims:
                dims[0] = ANY_SIZE
            if self._guessed:
                dims = [ANY_SIZE] * len(dims)
            yield TensorSpec(spec.name, spec.element_type, tuple(dims))

    def warm_up(self) -> None:
        """Run once; sizes that the file leaves open may have been guessed wrong."""
        try:
            self.run(self._examples)
        except ExecutionFailed as failure:
            if not self._guessed:
                raise LoadFailed(f"{self._where}: {failure.message}") from failure

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Execute once; raises ExecutionFailed with MindSpore Lite's reason in one line."""
        try:
            tensors = self._fit(inputs)
            for tensor, value in zip(tensors, inputs, strict=True):
                tensor.set_data_from_numpy(np.asarray(value, order="C"))
            # Copied: the next call may write where these lie.
            return [np.array(each.get_data_to_numpy()) for each in self._model.predict(tensors)]
        except Exception as failure:
            raise ExecutionFailed(_reason(failure)) from failure

    def _fit(self, inputs: Sequence[Array]) -> list[Any]:
        """The model's input tensors, in the shapes of ``inputs``."""
        tensors: list[Any] = self._model.get_inputs()
        shapes = [list(value.shape) for value in inputs]
        if [list(tensor.shape) for tensor in tensors] != shapes:
            self._model.resize(tensors, shapes)
            tensors = self._model.get_inputs()
        return tensors

    def _specs(self, tensors: Iterable[Any]) -> Iterator[TensorSpec]:
        for tensor in tensors:
            kind = tensor.dtype.name
            if kind not in ElementType.__members__:
                raise LoadFailed(
                    f"{self._where}: '{tensor.name}' is {kind}, which cannot be served"
                )
            dims = tuple(ANY_SIZE if size < 0 else size for size in tensor.shape)
            # Names may be padded with blanks.
            yield TensorSpec(tensor.name.rstrip(), ElementType[kind], dims)


def _example(spec: TensorSpec) -> Array:
    return np.zeros([1 if dim < 0 else dim for dim in spec.dims], spec.element_type.dtype)


def _reason(failure: Exception) -> str:
    """The first line of what MindSpore Lite says, without folders."""
    text = next((line for line in str(failure).splitlines() if line.strip()), "")
    return re.sub(r"\S*/\S*\s*", "", text).strip() or type(failure).__name__
