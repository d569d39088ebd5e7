"""What a servable's start configuration means for our processes."""

import pytest

from mindspore_serving.server import ServableStartConfig
from mindspore_serving.server.start_config import check_keys


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


KEY = b"tyger-tyger-brng"


@pytest.mark.parametrize("mode", ["AES-GCM", "AES-CBC"])
def test_a_key_and_its_mode_are_held_and_not_shown(mode):
    config = ServableStartConfig("servables", "toy", dec_key=KEY, dec_mode=mode)
    assert (config.dec_key, config.dec_mode) == (KEY, mode)
    assert "tyger" not in repr(vars(config))


def test_without_a_key_there_is_none():
    config = ServableStartConfig("servables", "toy")
    assert (config.dec_key, config.dec_mode) == (None, "AES-GCM")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"dec_key": "tyger-tyger-brng"},
            "Parameter 'dec_key' should be bytes, but actually <class 'str'>",
        ),
        ({"dec_key": b""}, "Parameter 'dec_key' should not be empty bytes"),
        ({"dec_key": b"tyger"}, "Parameter 'dec_key' length 5 expected to be 16, 24 or 32"),
        (
            {"dec_key": KEY, "dec_mode": "tyger"},
            "Parameter 'dec_mode' expected to be 'AES-GCM' or 'AES-CBC'",
        ),
        ({"dec_mode": None}, "Parameter 'dec_mode' expected to be 'AES-GCM' or 'AES-CBC'"),
    ],
)
def test_a_key_is_refused_in_the_originals_words_which_do_not_repeat_it(given, words):
    with pytest.raises(RuntimeError) as failure:
        ServableStartConfig("servables", "toy", **given)
    assert str(failure.value) == words


@pytest.mark.parametrize(
    "other", [{}, {"dec_key": KEY[::-1]}, {"dec_key": KEY, "dec_mode": "AES-CBC"}]
)
def test_a_servable_has_one_key_in_all_its_configurations(other):
    configs = [ServableStartConfig("servables", "toy", 0, dec_key=KEY)]
    check_keys([*configs, *configs, ServableStartConfig("servables", "other", 0)])
    with pytest.raises(RuntimeError) as failure:
        check_keys([*configs, ServableStartConfig("servables", "toy", 1, 2, **other)])
    assert str(failure.value) == (
        "The dec key or dec mode of servable name toy is different in multiple configurations."
    )
