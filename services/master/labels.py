"""(pure) Version labels: names for versions, and how much of the requests each gets."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from shared.errors import InvalidRequest

MAX_LABELS = 100
"""Of one servable."""
_MAX_WEIGHT = 1_000_000
_MAX_VERSION = 2**63 - 1
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}", re.ASCII)
_SETTING = re.compile(r"([^:=@]+):([^:=@]+)=([0-9]{1,18})(?:@([0-9]{1,7}))?", re.ASCII)


class Label(NamedTuple):
    """A name for a version; weight 0: it gets the requests that name it, and no others."""

    name: str
    version: int
    weight: int = 0

    def check(self) -> None:
        """Raises InvalidRequest that says what was expected and what came."""
        if not _NAME.fullmatch(self.name):
            raise InvalidRequest(
                "label: expected a letter, then at most 62 letters, digits, '_', '.' or '-',"
                f" got '{self.name[:80]}'"
            )
        if not 1 <= self.version <= _MAX_VERSION:
            raise InvalidRequest(
                f"label '{self.name}': expected a version from 1 on, got {self.version}"
            )
        if not 0 <= self.weight <= _MAX_WEIGHT:
            raise InvalidRequest(
                f"label '{self.name}': expected a weight from 0 to {_MAX_WEIGHT}, got {self.weight}"
            )


class LabelStatus(NamedTuple):
    """A label, and whether some worker serves its version now."""

    label: Label
    served: bool


def check_labels(servable: str, labels: Sequence[Label]) -> tuple[Label, ...]:
    """The labels of one servable, by name; raises InvalidRequest."""
    if len(labels) > MAX_LABELS:
        raise InvalidRequest(
            f"servable '{servable}': expected at most {MAX_LABELS} labels, got {len(labels)}"
        )
    for label in labels:
        label.check()
    by_name = {label.name: label for label in labels}
    if len(by_name) < len(labels):
        raise InvalidRequest(f"servable '{servable}': a label is there more than once")
    return tuple(by_name[name] for name in sorted(by_name))


def parse_labels(texts: Iterable[str]) -> Mapping[str, tuple[Label, ...]]:
    """Labels of servables from ``SERVABLE:LABEL=VERSION[@WEIGHT]``; raises ValueError."""
    found: dict[str, list[Label]] = {}
    for text in texts:
        match = _SETTING.fullmatch(text)
        if match is None:
            raise ValueError(f"expected SERVABLE:LABEL=VERSION[@WEIGHT], got '{text}'")
        servable, name, version, weight = match.groups(default="0")
        found.setdefault(servable, []).append(Label(name, int(version), int(weight)))
    try:
        return {servable: check_labels(servable, labels) for servable, labels in found.items()}
    except InvalidRequest as failure:
        raise ValueError(failure.message) from None


def weights(labels: Iterable[Label]) -> dict[int, int]:
    """What each version gets of the requests that name none; empty when the newest gets all."""
    found: dict[int, int] = {}
    for label in labels:
        if label.weight:
            found[label.version] = found.get(label.version, 0) + label.weight
    return found


def pick(shares: Sequence[int], draw: float) -> int:
    """The place among ``shares`` (each over 0) that a draw from [0, 1) falls on.

    Of all draws, each place gets as large a part as it has of the sum.
    """
    ends = list(accumulate(shares))
    return min(bisect_right(ends, draw * ends[-1]), len(ends) - 1)
