"""What an agent counts."""

from prometheus_client import CollectorRegistry, Counter

from shared.metrics import ROWS_BUCKETS, SECONDS_BUCKETS
from shared.tallies import Histograms


class AgentMetrics:
    """Batches: time on the device, rows, failures."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.device_seconds = Histograms(
            "mindserve_agent_device_seconds",
            "Time in the backend",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        ).of()
        self.rows = Histograms(
            "mindserve_agent_batch_rows", "Rows of a batch", buckets=ROWS_BUCKETS, registry=registry
        ).of()
        self.failures = Counter(
            "mindserve_agent_failures", "Failed batches", ["reason"], registry=registry
        )
