"""An instance's values, and how its walk through a stage ended."""

import numpy as np

from shared.errors import ServingError
from shared.tensors import Value

Values = tuple[Value, ...]
Outcome = Values | ServingError


def as_given(value: Value) -> Value:
    """A value as a servable's functions get it: bytes as a 1-D uint8 array, arrays writable."""
    if isinstance(value, bytes):
        return np.frombuffer(bytearray(value), np.uint8)
    if isinstance(value, np.ndarray) and not value.flags.writeable:
        return value.copy()
    return value
