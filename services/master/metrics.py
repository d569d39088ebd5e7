"""What the master counts."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from shared.metrics import SECONDS_BUCKETS
from shared.tallies import Counters, Histograms


class Metrics:
    """The master's own figures in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counters(
            "mindserve_master_requests",
            "Requests answered, by outcome: ok or the error's name.",
            ["outcome"],
            registry=registry,
        )
        self.seconds = Histograms(
            "mindserve_master_request_seconds",
            "Time from admission to answer.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        ).of()
        self.in_flight = Gauge(
            "mindserve_master_requests_in_flight", "Requests admitted now.", registry=registry
        )
        self.redispatched = Counter(
            "mindserve_master_redispatched",
            "Times a worker refused a request and another was tried.",
            registry=registry,
        )
        self._registry = registry
        self.workers = Gauge("mindserve_master_workers", "Workers connected.", registry=registry)

    def add_labels(self, read: Callable[[], Iterable[tuple[str, str, int, bool]]]) -> None:
        """Show what ``read`` gives when scraped: servable, label, version, whether it is served."""
        self._registry.register(_Labels(read))


class _Labels(Collector):
    """Version labels: they come and go, so they are read when asked for."""

    def __init__(self, read: Callable[[], Iterable[tuple[str, str, int, bool]]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "mindserve_master_label_served",
            "Whether some worker serves the version of a label now.",
            labels=["servable", "label", "version"],
        )
        for servable, label, version, served in self._read():
            family.add_metric([servable, label, str(version)], served)
        yield family
