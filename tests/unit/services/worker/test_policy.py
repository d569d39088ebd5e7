"""What a model's declaration says of its batches, and what the settings say for it."""

import pytest

from services.worker.batching.policy import BatchingPolicy, policy_of
from services.worker.settings import WorkerSettings
from shared.servable import Batching, ModelSpec
from shared.settings import SettingsError, read

SETTINGS = BatchingPolicy(
    100, max_queue_delay_seconds=0.5, priority_levels=5, default_priority_level=4
)


def policy(**declared):
    model = ModelSpec("m", ("m",), "mindir", True, batching=Batching(**declared))
    return policy_of(model, SETTINGS)


def test_what_a_model_does_not_declare_the_settings_say():
    assert policy() == SETTINGS


def test_what_a_model_declares_counts():
    said = {
        "preferred_batch_sizes": (4, 8),
        "max_queue_delay_seconds": 0.0,
        "priority_levels": 2,
        "default_priority_level": 2,
    }
    assert policy(**said) == BatchingPolicy(100, **said)


def test_the_settings_default_level_is_one_of_the_settings_levels():
    assert policy(priority_levels=3).handicaps[0] == 10.0  # its own middle one
    assert policy(default_priority_level=9).handicaps[0] == 40.0  # there are five


def test_settings_say_how_models_are_batched():
    told = read(WorkerSettings, ["--max-queue-delay-seconds", "0.002", "--priority-levels", "1"])
    assert told.batching == BatchingPolicy(10000, (), 0.002, 1)
    assert read(WorkerSettings, []).batching == BatchingPolicy(10000, (), None, 3)


def test_a_default_level_that_there_is_not_is_refused():
    with pytest.raises(SettingsError, match="default_priority_level is larger than"):
        read(WorkerSettings, ["--default-priority-level", "4"])
