"""A few seconds of the fuzzing, the same each time; ``python -m tests.fuzz 3600`` goes on."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.tally import Tally
from tests.fuzz.targets import NAMES, target


@pytest.mark.parametrize("name", NAMES)
def test_no_peer_does_worse_than_end_its_connection(name):
    tally = Tally()
    with target(name) as fuzz:
        for seed in range(60):
            fuzz(random.Random(seed), tally)
        assert 10 < tally.faults < 50

        @settings(
            max_examples=40,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.randoms(use_true_random=False))
        def searched(rng):
            fuzz(rng, tally)

        searched()
