"""What a servable's start configuration means for our processes."""

import pytest

from mindspore_serving import server
from mindspore_serving.server import ServableStartConfig
from mindspore_serving.server.master import context


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


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"servable_directory": 1}, "'servable_directory' should be str, but actually <class 'int"),
        ({"servable_directory": ""}, "Parameter 'servable_directory' should not be empty str"),
        ({"servable_name": False}, "Parameter 'servable_name' should be str, but actually <class"),
        ({"servable_name": ""}, "Parameter 'servable_name' should not be empty str"),
        ({"version_number": True}, "Parameter 'version_number' should be int, but actually <class"),
        ({"version_number": "1"}, "Parameter 'version_number' should be int, but actually <class"),
        ({"version_number": -1}, "Parameter 'version_number' should be >= 0"),
        (
            {"device_ids": "0"},
            "Parameter 'device_ids' should be int or tuple/list of int, but actually <class 'str'>",
        ),
        ({"device_ids": [0, 1.0]}, "'device_ids' should be int or tuple/list of int, but actually"),
        ({"device_ids": True}, "'device_ids' should be int or tuple/list of int, but actually"),
        ({"device_ids": (0, -1)}, "The item value '-1' in parameter 'device_ids' should be >= 0"),
        (
            {"device_ids": (1, 1)},
            "The item value '1' in parameter 'device_ids' should not be repeated",
        ),
        (
            {"device_type": "TPU"},
            "Unsupported device type 'TPU', only support 'Ascend', 'GPU', 'CPU' and None, case"
            " ignored",
        ),
        ({"device_type": 5}, "Parameter 'device_type' should be str, but actually <class 'int'>"),
        ({"device_type": ""}, "Parameter 'device_type' should not be empty str"),
        ({"num_parallel_workers": 65}, "'num_parallel_workers' should be in range [0,64]"),
        ({"num_parallel_workers": -1}, "'num_parallel_workers' should be in range [0,64]"),
        ({"num_parallel_workers": 1.0}, "Parameter 'num_parallel_workers' should be int, but"),
    ],
)
def test_what_cannot_be_used_is_refused_in_the_originals_words(given, words):
    arguments = {"servable_directory": "servables", "servable_name": "toy"} | given
    with pytest.raises(RuntimeError) as refused:
        ServableStartConfig(**arguments)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("given", "known"),
    [(None, "none"), ("None", "none"), ("ASCEND", "ascend"), ("gpu", "gpu"), ("Cpu", "cpu")],
)
def test_device_types_are_known_in_any_case(given, known):
    assert ServableStartConfig("servables", "toy", device_type=given).device_type == known


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ("x", False),
            "Parameter 'servable_configs' should be ServableStartConfig, list or tuple of"
            " ServableStartConfig, but actually <class 'str'>",
        ),
        (
            ([1], False),
            "The item of parameter 'servable_configs' should be ServableStartConfig, but actually"
            " <class 'int'>",
        ),
        (([], 1), "Parameter 'enable_lite' should be bool, but actually <class 'int'>"),
        (([], False), "Parameter 'servable_configs' should not be empty"),
    ],
)
def test_start_servables_takes_configurations_alone(given, words):
    with pytest.raises(RuntimeError) as refused:
        server.start_servables(*given)
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (0, "Parameter 'max_enqueued_requests' should be >= 1"),
        (True, "Parameter 'max_enqueued_requests' should be int, but actually <class 'bool'>"),
        ("1", "Parameter 'max_enqueued_requests' should be int, but actually <class 'str'>"),
    ],
)
def test_the_bound_on_requests_is_a_number_from_1_on(given, words):
    with pytest.raises(RuntimeError) as refused:
        server.master.context.set_max_enqueued_requests(given)
    assert str(refused.value) == words
    assert context.max_enqueued_requests() == 10000


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
