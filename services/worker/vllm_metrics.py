"""Figures of language models under the names that vLLM gives them, for dashboards made for it."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

_OURS, _THEIRS = "mindserve_worker_generation_", "vllm:"
# Source: the page on production metrics of vLLM's documentation, 0.32, and of releases before
# it, whose other names many dashboards know still.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "running": ("num_requests_running",),
    "waiting": ("num_requests_waiting",),
    "cache_use": ("kv_cache_usage_perc", "gpu_cache_usage_perc"),
    "preemptions": ("num_preemptions",),
    "prefix_queries": ("prefix_cache_queries",),
    "prefix_hits": ("prefix_cache_hits",),
    "prompt_tokens": ("prompt_tokens",),
    "completion_tokens": ("generation_tokens",),
    "proposed_tokens": ("spec_decode_num_draft_tokens",),
    "accepted_tokens": ("spec_decode_num_accepted_tokens",),
    "choices": ("request_success",),
    "time_to_first_token_seconds": ("time_to_first_token_seconds",),
    "between_tokens_seconds": ("inter_token_latency_seconds", "time_per_output_token_seconds"),
    "seconds": ("e2e_request_latency_seconds",),
    "queue_seconds": ("request_queue_time_seconds",),
}
# Each version of a servable has engines of its own.
_LABELS = {"servable": "model_name", "version": "engine", "finish_reason": "finished_reason"}


class VllmNames(Collector):
    """Tells again what ``figures`` tells of language models; nothing is counted twice."""

    def __init__(self, figures: Collector) -> None:
        self._figures = figures

    def describe(self) -> list[Metric]:
        """Nothing is asked while services are put together."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All figures that vLLM has a name for."""
        for family in self._figures.collect():
            for name in _NAMES.get(family.name.removeprefix(_OURS), ()):
                yield _renamed(family, _THEIRS + name)


def _renamed(family: Metric, name: str) -> Metric:
    renamed = Metric(name, family.documentation, family.type)
    for sample in family.samples:
        labels = {_LABELS.get(label, label): value for label, value in sample.labels.items()}
        renamed.add_sample(name + sample.name.removeprefix(family.name), labels, sample.value)
    return renamed
