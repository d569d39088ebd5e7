"""(pure) Reads the fields of a JSON object, each with its type and its bounds.

A field that is null counts as one that is not there.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

import orjson

from services.master.rest.statuses import InvalidField

_LARGEST_ID = 2**31 - 1
_NO_BOUND = float("inf")


class Fields:
    """The fields of one object; every method raises InvalidField for what does not fit."""

    def __init__(self, values: Mapping[str, Any], within: str = "") -> None:
        self._values = values
        self._within = within

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def raw(self, name: str) -> Any:
        """Whatever is there."""
        return self._values.get(name)

    def fault(self, name: str, expected: str) -> InvalidField:
        """What is wrong with a field."""
        return InvalidField(self._within + name, expected, self._values.get(name))

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.fault(name, "a text")
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self._values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fault(name, "true or false")
        return value

    def optional_flag(self, name: str) -> bool | None:
        """The same, or None."""
        return self.flag(name) if name in self else None

    def number(
        self, name: str, default: float, low: float = -_NO_BOUND, high: float = _NO_BOUND
    ) -> float:
        """A number from ``low`` to ``high``."""
        value = self._values.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise self.fault(name, "a number")
        if not low <= value <= high:
            raise self.fault(name, f"a number {_range(low, high)}")
        return float(value)

    def count(self, name: str, default: int, low: int = 0, high: int = _LARGEST_ID) -> int:
        """A whole number from ``low`` to ``high``."""
        found = self.optional_count(name, low, high)
        return default if found is None else found

    def optional_count(self, name: str, low: int = 0, high: int = _LARGEST_ID) -> int | None:
        """The same, or None."""
        value = self._values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.fault(name, f"a whole number {_range(low, high)}")
        return value

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """A text, or a list of at most so many; empty ones are left out."""
        value = self._values.get(name)
        if value is None:
            return ()
        found = [value] if isinstance(value, str) else value
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.fault(name, "a text or a list of texts")
        if len(found) > most:
            raise self.fault(name, f"at most {most} texts")
        return tuple(filter(None, found))

    def ids(self, name: str) -> tuple[int, ...]:
        """A list of token ids."""
        value = self._values.get(name)
        if value is None:
            return ()
        if not are_ids(value):
            raise self.fault(name, "a list of token ids")
        return tuple(value)

    def object(self, name: str) -> "Fields | None":
        """Another object."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fault(name, "an object")
        return Fields(value, f"{self._within}{name}.")

    def objects(self, name: str) -> Sequence[Mapping[str, Any]]:
        """A list of objects."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.fault(name, "a list of objects")
        return value

    def as_json(self, name: str, value: Any) -> str:
        """What came in a field, or was made of it, for those who read JSON themselves."""
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            # It was read from JSON, so all that can be wrong is its depth.
            raise InvalidField(self._within + name, "JSON of at most 250 levels", "more") from None

    def refuse(self, *names: str) -> None:
        """What would change the answer, and is not done here, is not passed over in silence."""
        for name in names:
            if self._values.get(name):
                raise self.fault(name, "nothing: it is not supported")


def are_ids(value: object) -> bool:
    """Whether something is a list of token ids."""
    # Without a loop of ours: there may be half a million of them.
    if not isinstance(value, list) or not {*map(type, value)} <= {int}:
        return False
    return not value or (min(value) >= 0 and max(value) <= _LARGEST_ID)


def _range(low: float, high: float) -> str:
    if high in (_NO_BOUND, _LARGEST_ID):
        return f"from {low:g} on"
    return f"from {low:g} to {high:g}"
