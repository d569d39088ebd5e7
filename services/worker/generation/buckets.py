"""(pure) Which of a model's graphs a call takes: shapes are static, so several are exported."""

from collections.abc import Sequence
from typing import NamedTuple


class Bucket(NamedTuple):
    """The shape of one graph."""

    batch: int
    """Rows."""
    tokens: int
    """New tokens of a row; 1: a decode graph."""
    length: int
    """How many tokens of a row may have been computed before."""


class Buckets:
    """The graphs of one kind; ``length_fitted`` off leaves those for the longest texts alone."""

    def __init__(self, buckets: Sequence[Bucket], *, length_fitted: bool = True) -> None:
        if not length_fitted and buckets:
            longest = max(bucket.length for bucket in buckets)
            buckets = [bucket for bucket in buckets if bucket.length == longest]
            widest = max(bucket.tokens for bucket in buckets)
            buckets = [bucket for bucket in buckets if bucket.tokens == widest]
        self._cheapest_first = sorted(set(buckets), key=_cost)

    def fit(self, *, batch: int, tokens: int, length: int) -> Bucket | None:
        """The cheapest graph with so much room; None: there is none."""
        for bucket in self._cheapest_first:
            if bucket.batch >= batch and bucket.tokens >= tokens and bucket.length >= length:
                return bucket
        return None

    @property
    def narrowest(self) -> int:
        """How many new tokens a row of the narrowest graph has."""
        return min(bucket.tokens for bucket in self._cheapest_first)

    def widest(self, *, length: int) -> int:
        """How many new tokens a row may have after ``length`` ones; 0: no graph is that long."""
        fitting = (bucket.tokens for bucket in self._cheapest_first if bucket.length >= length)
        return max(fitting, default=0)


def _cost(bucket: Bucket) -> tuple[int, int, int]:
    return bucket.batch * bucket.tokens, bucket.length, bucket.batch
