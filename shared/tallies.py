"""Counters and histograms that one thread writes and another one reads when it is scraped.

The library's own take a lock for each number of an observation, which a lone request paid
twenty times over. What is written here by an event loop needs none.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Counter:
    """Counts one thing."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def inc(self) -> None:
        """Once more."""
        self.count += 1


class Histogram:
    """How often what was observed was at most each bound, and the sum of it."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """One for each bound, and for what is beyond the last."""
        self.sum = 0.0

    def observe(self, amount: float) -> None:
        """Count it where it belongs."""
        self.counts[bisect_left(self._bounds, amount)] += 1
        self.sum += amount


class Counters(Collector):
    """The counters of one name, told apart by their labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        registry: CollectorRegistry,
    ) -> None:
        self._family = (name, documentation, labels)
        self._members: dict[tuple[str, ...], Counter] = {}
        registry.register(self)

    def of(self, *labels: object) -> Counter:
        """The counter with these values of the labels; to be kept by those who count often."""
        return self._members.setdefault(tuple(map(str, labels)), Counter())

    def collect(self) -> Iterator[CounterMetricFamily]:
        """See ``Collector``."""
        name, documentation, labels = self._family
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, counter in list(self._members.items()):
            family.add_metric(values, counter.count)
        yield family


class Histograms(Collector):
    """The histograms of one name, told apart by their labels."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._family = (name, documentation, labels)
        self._buckets = buckets
        self._bounds = [*map(floatToGoString, buckets), "+Inf"]
        self._members: dict[tuple[str, ...], Histogram] = {}
        registry.register(self)

    def of(self, *labels: object) -> Histogram:
        """The histogram with these values of the labels; to be kept by those who observe often."""
        return self._members.setdefault(tuple(map(str, labels)), Histogram(self._buckets))

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """See ``Collector``."""
        name, documentation, labels = self._family
        family = HistogramMetricFamily(name, documentation, labels=labels)
        for values, histogram in list(self._members.items()):
            counts = accumulate(histogram.counts)
            family.add_metric(values, list(zip(self._bounds, counts, strict=True)), histogram.sum)
        yield family
