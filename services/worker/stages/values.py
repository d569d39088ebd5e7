"""Makes values of what a stage function gives away."""

from typing import Any

import numpy as np

from shared.tensors import ElementType, Value


class UnusableResult(Exception):
    """A function gave what cannot be passed on."""


def value_of(result: Any) -> Value:
    """Text and bytes as they are, everything else as an array; raises UnusableResult."""
    if isinstance(result, str | bytes):
        return result
    if isinstance(result, bool | int | float | np.generic):
        # Python's own numbers are int64 and float64, as in the original.
        result = np.asarray(result)
    elif hasattr(result, "asnumpy"):
        result = result.asnumpy()
    if not isinstance(result, np.ndarray):
        raise UnusableResult(f"cannot serve a result of type {type(result).__name__}")
    try:
        ElementType.of(result.dtype)
    except ValueError as failure:
        raise UnusableResult(str(failure)) from None
    return np.ascontiguousarray(result).reshape(result.shape)
