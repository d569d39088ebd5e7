"""What Python stages give us, as values that travel."""

from typing import Any

import numpy as np

from shared.tensors import ElementType, Value


class UnusableValue(Exception):
    """A function gave us what cannot be passed on."""


def value_of(given: Any) -> Value:
    """Text, bytes, or an array of a dtype that can be served; raises UnusableValue.

    Python's own numbers are int64 and float64, as in the original.
    """
    if isinstance(given, str):
        return _unicode(given)
    if isinstance(given, bytes):
        return given
    if isinstance(given, bool | int | float | np.generic):
        given = np.asarray(given)
    elif hasattr(given, "asnumpy"):
        given = given.asnumpy()
    if not isinstance(given, np.ndarray):
        raise UnusableValue(f"cannot serve a result of type {type(given).__name__}")
    try:
        ElementType.of(given.dtype)
    except ValueError as failure:
        raise UnusableValue(str(failure)) from None
    return np.ascontiguousarray(given).reshape(given.shape)


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as failure:
        raise UnusableValue(f"cannot serve text that is no Unicode: {failure.reason}") from None
    return text
