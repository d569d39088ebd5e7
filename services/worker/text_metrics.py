"""What a worker counts of the texts that it continues."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.metrics import SECONDS_BUCKETS
from shared.tallies import Counters, Histograms

_WORKER = "mindserve_worker_generation"
_LABELS = ["servable", "version"]
_LONG_SECONDS = (*SECONDS_BUCKETS, 60.0, 120.0, 300.0)
_GAUGES = {
    "running": "Texts that have slots.",
    "waiting": "Texts that wait for a slot.",
    "hand_overs_waiting": "Texts with computed prompts that wait for an agent that decodes.",
    "cache_use": "Share of the blocks of KV cache that texts use which run.",
}
_COUNTERS = {
    "preemptions": "Texts that lost slot and blocks to others, and were computed again.",
    "computed_tokens": "Tokens computed, of prompts and of completions.",
    "prefix_queries": "Tokens of texts that started, ...",
    "prefix_hits": "... and how many of them were loaded instead of computed.",
    "proposed_tokens": "Tokens proposed by speculation, ...",
    "accepted_tokens": "... and how many of them were what the model says.",
    "hand_overs": "Texts that went on with another agent than the one that computed their prompts.",
    "transferred_tokens": "Tokens whose cache went from one agent to another, ...",
    "transferred_bytes": "... and how many bytes that was.",
}


class Figures(NamedTuple):
    """One language model, as it is now, by the names of the figures."""

    servable: str
    version: int
    values: dict[str, float]


class TextMetrics(Collector):
    """All language models together; ``figures`` says how they are now."""

    def __init__(self, figures: Callable[[], Iterable[Figures]]) -> None:
        registry = self._registry = CollectorRegistry()
        registry.register(_Current(figures))

        def counters(name: str, text: str, *labels: str) -> Counters:
            return Counters(f"{_WORKER}_{name}", text, [*_LABELS, *labels], registry=registry)

        def seconds(name: str, text: str, buckets: tuple[float, ...]) -> Histograms:
            return Histograms(
                f"{_WORKER}_{name}", text, _LABELS, buckets=buckets, registry=registry
            )

        self.requests = counters(
            "requests", "Requests for text answered, by outcome: ok or the error's name.", "outcome"
        )
        self.choices = counters(
            "choices",
            "Completions that ended: by stop, length or error, or by abort, when nobody waited.",
            "finish_reason",
        )
        self.prompt_tokens = counters("prompt_tokens", "Tokens of prompts.")
        self.completion_tokens = counters("completion_tokens", "Tokens of completions.")
        self.first_token_seconds = seconds(
            "time_to_first_token_seconds",
            "Time from a request to the first token of a choice.",
            _LONG_SECONDS,
        )
        self.between_tokens_seconds = seconds(
            "between_tokens_seconds",
            "Time from one token of a choice to the next one.",
            SECONDS_BUCKETS,
        )
        self.seconds = seconds("seconds", "Time from a request for text to its end.", _LONG_SECONDS)
        self.queue_seconds = seconds(
            "queue_seconds", "Time that a text waited for its first slot.", _LONG_SECONDS
        )

    def describe(self) -> list[Metric]:
        """Nothing is asked while services are put together."""
        return []

    def collect(self) -> Iterable[Metric]:
        """See ``Collector``."""
        return self._registry.collect()


class _Current(Collector):
    """Asks when somebody looks."""

    def __init__(self, figures: Callable[[], Iterable[Figures]]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        """All figures of all models."""
        found = list(self._figures())
        for kind, names in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, text in names.items():
                family = kind(f"{_WORKER}_{name}", text, labels=_LABELS)
                for each in found:
                    family.add_metric([each.servable, str(each.version)], each.values[name])
                yield family
