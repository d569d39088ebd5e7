"""The simulation behind what the documents say of a queue delay."""

import pytest

from benchmarks.queue_delay import Simulation
from services.worker.batching.batcher import Batcher
from services.worker.batching.policy import BatchingPolicy


def rate(seconds, callers, delay):
    policy = BatchingPolicy(1000, max_queue_delay_seconds=delay)
    return Simulation(lambda rows: seconds, Batcher("m", policy)).run(callers)[0]


@pytest.mark.parametrize(("seconds", "callers", "wins"), [(0.0005, 16, 0.0), (0.005, 64, None)])
def test_no_delay_at_all_helps_fast_models_and_costs_slow_ones(seconds, callers, wins):
    rates = {delay: rate(seconds, callers, delay) for delay in (None, 0.0)}
    assert max(rates, key=rates.get) == wins
    assert max(rates.values()) > 1.15 * min(rates.values())
