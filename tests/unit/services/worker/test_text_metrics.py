"""What is told of language models, by our names and by those of vLLM."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from services.worker.text_metrics import Figures, TextMetrics
from services.worker.text_watch import TextWatch
from services.worker.vllm_metrics import VllmNames
from shared.servable import ServableVersion
from shared.text_generation import Usage

WHAT = ServableVersion("tiny", 2)
NOW = {
    "running": 3, "waiting": 2, "cache_use": 0.25, "preemptions": 4, "computed_tokens": 90,
    "prefix_queries": 50, "prefix_hits": 20, "proposed_tokens": 8, "accepted_tokens": 5,
    "hand_overs_waiting": 1, "hand_overs": 7, "transferred_tokens": 30, "transferred_bytes": 960,
}  # fmt: skip


class Choice:
    """One that ended so, or goes on."""

    def __init__(self, number, reason):
        self.number, self.reason = number, reason


@pytest.fixture
def told():
    """After one request with two choices, of which one was still made when its caller left."""
    metrics = TextMetrics(lambda: [Figures(*WHAT, NOW)])
    registry = CollectorRegistry()
    registry.register(metrics)
    registry.register(VllmNames(metrics))
    watch = TextWatch(metrics, WHAT)
    choices = [Choice(0, "stop"), Choice(1, "")]
    for tokens in (1, 2):
        for choice in choices:
            watch.heard(choice, tokens)
    watch.ended(Usage(7, 6, 4, 0.5, 0.1, 0.2))
    watch.left(choices)
    text = generate_latest(registry).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


OURS = [
    ("running", 3), ("waiting", 2), ("cache_use", 0.25), ("preemptions_total", 4),
    ("computed_tokens_total", 90), ("prefix_queries_total", 50), ("prefix_hits_total", 20),
    ("proposed_tokens_total", 8), ("accepted_tokens_total", 5), ("prompt_tokens_total", 7),
    ("completion_tokens_total", 6), ("time_to_first_token_seconds_count", 2),
    ("between_tokens_seconds_count", 4), ("seconds_count", 1), ("queue_seconds_sum", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), OURS)
def test_each_figure_is_told_of_each_model(told, name, value):
    name = f"mindserve_worker_generation_{name}"
    assert told[name, ("servable", "tiny"), ("version", "2")] == value


THEIRS = [
    ("num_requests_running", 3), ("num_requests_waiting", 2), ("kv_cache_usage_perc", 0.25),
    ("gpu_cache_usage_perc", 0.25), ("num_preemptions_total", 4),
    ("prefix_cache_queries_total", 50), ("prefix_cache_hits_total", 20),
    ("prompt_tokens_total", 7), ("generation_tokens_total", 6),
    ("spec_decode_num_draft_tokens_total", 8), ("spec_decode_num_accepted_tokens_total", 5),
    ("time_to_first_token_seconds_count", 2), ("inter_token_latency_seconds_count", 4),
    ("time_per_output_token_seconds_count", 4), ("e2e_request_latency_seconds_count", 1),
    ("request_queue_time_seconds_sum", 0.5),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), THEIRS)
def test_vllms_dashboards_find_the_same_figures(told, name, value):
    assert told[f"vllm:{name}", ("engine", "2"), ("model_name", "tiny")] == value


def test_vllms_histograms_have_buckets(told):
    name = "vllm:time_to_first_token_seconds_bucket"
    of_it = ("engine", "2"), ("le", "+Inf"), ("model_name", "tiny")
    assert told[name, *of_it] == 2
    bounds = [dict(rest)["le"] for each, *rest in told if each == name]
    assert {"0.001", "0.1", "10.0", "300.0"} <= set(bounds)


@pytest.mark.parametrize("reason", ["stop", "abort"])
def test_why_choices_ended_is_counted(told, reason):
    ours = "mindserve_worker_generation_choices_total"
    assert told[ours, ("finish_reason", reason), ("servable", "tiny"), ("version", "2")] == 1
    theirs = "vllm:request_success_total"
    assert told[theirs, ("engine", "2"), ("finished_reason", reason), ("model_name", "tiny")] == 1
