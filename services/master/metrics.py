"""What the master counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.metrics import SECONDS_BUCKETS


class Metrics:
    """The master's own figures in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "mindserve_master_requests",
            "Requests answered, by outcome: ok or the error's name.",
            ["outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "mindserve_master_request_seconds",
            "Time from admission to answer.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "mindserve_master_requests_in_flight", "Requests admitted now.", registry=registry
        )
        self.redispatched = Counter(
            "mindserve_master_redispatched",
            "Times a worker refused a request and another was tried.",
            registry=registry,
        )
        self.workers = Gauge("mindserve_master_workers", "Workers connected.", registry=registry)
