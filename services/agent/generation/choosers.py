"""Finds the most likely tokens: by NumPy, or by a model's argmax and topk graphs."""

from collections.abc import Sequence as Several
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.agent.backends import LoadedModel
from services.agent.generation.cache import Floats
from services.agent.generation.graphs import Graphs
from services.agent.generation.sampling import Ids
from services.agent.generation.sequences import Sequence


class Tops:
    """The largest logits of some rows, where a graph found them, and their ids."""

    def __init__(self, values: Floats | None = None, ids: NDArray[np.int32] | None = None) -> None:
        self._values = values
        self._ids = ids

    def choose(self, sequence: Sequence, place: int, logits: Floats) -> int:
        """The sequence's next token by row ``place``, whose logits these are; raises NoToken."""
        chooser = sequence.chooser
        if self._values is None or self._ids is None or chooser is None:
            return sequence.choose(logits)
        if not chooser.drawn_from_top(self._values.shape[-1]):
            return sequence.choose(logits)
        at = chooser.choose_of_sorted(self._values[place], len(sequence.tokens))
        return int(self._ids[place, at])


_NONE = Tops()


class Choosers:
    """What chooses for one model."""

    def __init__(self, model: LoadedModel, graphs: Graphs, *, on_device: bool) -> None:
        self._model = model
        self._argmax = graphs.argmax if on_device else None
        self._topk = graphs.topk if on_device else None
        self._top = graphs.top

    def argmax(self, logits: Floats) -> Ids:
        """The most likely token of each row [N, V], of equally likely ones the smallest id."""
        if self._argmax is None:
            found: Ids = logits.argmax(axis=-1)
        else:
            (ids,) = self._called(self._argmax, logits)
            found = ids.astype(np.intp)
        return found

    def tops(self, logits: Floats, sequences: Several[Sequence]) -> Tops:
        """The most likely tokens of each row, if a graph finds them and anybody needs them."""
        if self._topk is None or not any(
            each.chooser is not None and each.chooser.drawn_from_top(self._top)
            for each in sequences
        ):
            return _NONE
        values, ids = self._called(self._topk, logits)
        return Tops(values, ids)

    def _called(self, graph: int, logits: Floats) -> list[Any]:
        """A graph of a fixed number of rows is called as often as it takes."""
        rows = len(logits)
        size = self._model.signature.subgraphs[graph].inputs[0].dims[0]
        if size < 1:
            return self._model.execute(graph, [np.ascontiguousarray(logits)])
        padded = np.zeros((-(-rows // size) * size, logits.shape[1]), np.float32)
        padded[:rows] = logits
        parts = [
            self._model.execute(graph, [padded[first : first + size]])
            for first in range(0, len(padded), size)
        ]
        return [np.concatenate(outputs)[:rows] for outputs in zip(*parts, strict=True)]
