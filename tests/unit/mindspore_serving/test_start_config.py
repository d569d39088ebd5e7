"""What a servable's start configuration means for our processes."""

import pytest

from mindspore_serving.server import ServableStartConfig


@pytest.mark.parametrize(
    ("asked", "agents", "stage_processes"),
    [
        ({}, 1, 0),
        ({"device_ids": 0}, 1, 0),
        ({"device_ids": (0, 1)}, 2, 0),
        ({"device_ids": 0, "num_parallel_workers": 1}, 1, 0),
        ({"device_ids": 0, "num_parallel_workers": 4}, 1, 4),
        ({"num_parallel_workers": 3}, 3, 3),
    ],
)
def test_devices_get_agents_and_parallel_workers_are_stage_processes(
    asked, agents, stage_processes
):
    config = ServableStartConfig("servables", "toy", **asked)
    assert len(config.device_ids or range(config.num_parallel_workers)) == agents
    assert config.stage_processes == stage_processes
