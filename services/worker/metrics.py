"""What a worker counts."""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.metrics import ROWS_BUCKETS, SECONDS_BUCKETS
from shared.servable import ServableVersion
from shared.tallies import Counters, Histogram, Histograms

_LOAD_SECONDS_BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """The worker's own figures in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counters(
            "mindserve_worker_requests",
            "Requests answered, by outcome: ok or the error's name.",
            ["servable", "version", "method", "outcome"],
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
        self.queue_seconds = Histograms(
            "mindserve_worker_queue_seconds",
            "Time from submission to hand-over, per caller in a batch.",
            buckets=SECONDS_BUCKETS,
            registry=registry,
        ).of()
        self.batch_rows = Histograms(
            "mindserve_worker_batch_rows",
            "Rows of a batch.",
            buckets=ROWS_BUCKETS,
            registry=registry,
        ).of()
        self._stages: dict[tuple[str, str, str], Histogram] = {}
        self._stage_seconds = Histograms(
            "mindserve_worker_stage_seconds",
            "Time of one stage for one request, queueing included.",
            ["servable", "method", "stage"],
            buckets=SECONDS_BUCKETS,
            registry=registry,
        )
        self.stage_processes = Gauge(
            "mindserve_worker_stage_processes", "Stage processes that live.", registry=registry
        )
        self.stage_process_ends = Counter(
            "mindserve_worker_stage_process_ends",
            "Stage processes that ended by themselves, each started again, by cause: a signal, an"
            " exit code, or not started.",
            ["cause"],
            registry=registry,
        )
        handovers = Counters(
            "mindserve_worker_handovers",
            "Batches handed to agents, by where their tensors were.",
            ["tensors"],
            registry=registry,
        )
        self.in_messages = handovers.of("message")
        self.in_shared_memory = handovers.of("shared_memory")
        self.agents_holding = Gauge(
            "mindserve_worker_agents_holding",
            "Agents (or gangs) that hold a servable version, ready for batches.",
            ["servable", "version"],
            registry=registry,
        )
        self.agents = Gauge("mindserve_worker_agents", "Agents connected.", registry=registry)
        self.gang_starts = Counter(
            "mindserve_worker_gang_starts",
            "Starts of gangs, one for each epoch.",
            registry=registry,
        )
        self.gang_ends = Counter(
            "mindserve_worker_gang_ends",
            "Gangs that ended because a rank was lost or failed.",
            registry=registry,
        )
        self.loads = Counter(
            "mindserve_worker_loads",
            "Versions loaded beside others or first of all, by outcome: ok or failed.",
            ["servable", "outcome"],
            registry=registry,
        )
        self.load_seconds = Histograms(
            "mindserve_worker_load_seconds",
            "Time from the beginning of a load to the first moment at which it can be called.",
            buckets=_LOAD_SECONDS_BUCKETS,
            registry=registry,
        ).of()

    def forget(self, what: ServableVersion) -> None:
        """A version is served no more: it is neither held nor queued for."""
        for gauge in (self.queued_rows, self.agents_holding):
            with suppress(KeyError):
                gauge.remove(what.servable, what.version)

    def stage(self, servable: str, method: str, tag: str) -> Histogram:
        """The histogram of one stage; finding it by its labels would cost more than observing."""
        stage = self._stages.get((servable, method, tag))
        if stage is None:
            stage = self._stage_seconds.of(servable, method, tag)
            self._stages[servable, method, tag] = stage
        return stage
