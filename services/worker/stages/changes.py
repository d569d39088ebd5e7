"""(pure) What a function in a process of its own changed in place, for those that read it after it.

On a thread they would see it, as they did in the original.
"""

from collections.abc import Sequence

import numpy as np

from services.worker.instances import Outcome, Values
from shared.errors import ServingError
from shared.tensors import Value

_UNCHANGED: Value = ""


class Changes:
    """Watches some inputs of a function, by number, while it works on instances."""

    def __init__(self, instances: Sequence[Values], inputs: Sequence[int]) -> None:
        self._instances = instances
        self._inputs = inputs
        self._before = [[_content(each[number]) for number in inputs] for each in instances]
        self._done = 0

    def behind(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Outcomes of the next instances; behind the outputs of each, what was changed."""
        first = self._done
        self._done += len(outcomes)
        return [
            outcome if isinstance(outcome, ServingError) else (*outcome, *self._now(first + index))
            for index, outcome in enumerate(outcomes)
        ]

    def _now(self, index: int) -> list[Value]:
        values = [self._instances[index][number] for number in self._inputs]
        return [
            _UNCHANGED if _content(value) == before else value
            for value, before in zip(values, self._before[index], strict=True)
        ]


def _content(value: Value) -> object:
    """What differs once a value was changed; text cannot be."""
    return (value.dtype, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else None


def changed(values: Sequence[Value], inputs: Sequence[int]) -> dict[int, Value]:
    """What ``Changes`` found, by number of the input; nothing where nobody watched."""
    found = dict(zip(inputs, values, strict=False))
    return {number: value for number, value in found.items() if isinstance(value, np.ndarray)}
