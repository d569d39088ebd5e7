"""What a master counts."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from shared.metrics import SECONDS_BUCKETS


class MasterMetrics:
    """Requests by outcome, and their time in the master and beyond."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "mindserve_master_request_seconds",
            "From arrival to answer",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.failures = Counter(
            "mindserve_master_failures", "Failed requests", ["reason"], registry=registry
        )
