"""What a worker counts."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from shared.metrics import ROWS_BUCKETS, SECONDS_BUCKETS


class Metrics:
    """The worker's own figures in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "mindserve_worker_requests",
            "Requests answered, by outcome: ok or the error's name.",
            ["servable", "method", "outcome"],
            registry=registry,
        )
        self.outstanding = Gauge(
            "mindserve_worker_requests_outstanding", "Requests accepted now.", registry=registry
        )
        self.queued_rows = Gauge(
            "mindserve_worker_queued_rows",
            "Rows that wait for an agent.",
            ["servable", "version"],
            registry=registry,
        )
        self.queue_seconds = Histogram(
            "mindserve_worker_queue_seconds",
            "Time from submission to hand-over, per caller in a batch.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.batch_rows = Histogram(
            "mindserve_worker_batch_rows",
            "Rows of a batch.",
            buckets=ROWS_BUCKETS,
            registry=registry,
        )
        self._stages: dict[tuple[str, str, str], Histogram] = {}
        self._stage_seconds = Histogram(
            "mindserve_worker_stage_seconds",
            "Time of one stage for one request, queueing included.",
            ["servable", "method", "stage"],
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        handovers = Counter(
            "mindserve_worker_handovers",
            "Batches handed to agents, by where their tensors were.",
            ["tensors"],
            registry=registry,
        )
        self.in_messages = handovers.labels("message")
        self.in_shared_memory = handovers.labels("shared_memory")
        self.agents_holding = Gauge(
            "mindserve_worker_agents_holding",
            "Agents that hold a servable version, ready for batches.",
            ["servable", "version"],
            registry=registry,
        )
        self.agents = Gauge("mindserve_worker_agents", "Agents connected.", registry=registry)

    def stage(self, servable: str, method: str, tag: str) -> Histogram:
        """The histogram of one stage; finding it by its labels would cost more than observing."""
        stage = self._stages.get((servable, method, tag))
        if stage is None:
            stage = self._stage_seconds.labels(servable, method, tag)
            self._stages[servable, method, tag] = stage
        return stage
