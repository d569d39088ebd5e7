"""Which workers several start configurations come to."""

import pytest

from mindspore_serving.server import ServableStartConfig
from mindspore_serving.server._servable_local import merge_config


@pytest.fixture
def servables(tmp_path):
    for name, versions in (("add", ("1", "2", "x", "03")), ("sub", ()), ("mul", ("7",))):
        for each in versions:
            (tmp_path / name / each).mkdir(parents=True)
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "servable_config.py").write_text("")
    return tmp_path


def merged(servables, *configs):
    made = [ServableStartConfig(str(servables), name, **given) for name, given in configs]
    return [
        (each.servable_name, each.version_number, each.device_ids, each.num_parallel_workers)
        for each in merge_config(made)
    ]


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        # The newest version folder; without any, 1.
        ([("add", {"device_ids": 0})], [("add", 2, (0,), 0)]),
        ([("sub", {"device_ids": 0})], [("sub", 1, (0,), 0)]),
        ([("mul", {})], [("mul", 7, (), 1)]),
        # One version: all its devices, in order, each once.
        (
            [
                ("add", {"device_ids": (3, 1)}),
                ("add", {"device_ids": (1, 2), "version_number": 2}),
            ],
            [("add", 2, (3, 1, 2), 0)],
        ),
        (
            [("add", {"num_parallel_workers": n, "device_ids": 0}) for n in (2, 4, 3)],
            [("add", 2, (0,), 4)],
        ),
        # Versions and servables apart, in the order of their first mention.
        (
            [
                ("add", {"device_ids": 1}),
                ("mul", {"device_ids": 1}),
                ("add", {"device_ids": 1, "version_number": 1}),
                ("mul", {"device_ids": 5}),
            ],
            [("add", 2, (1,), 0), ("mul", 7, (1, 5), 0), ("add", 1, (1,), 0)],
        ),
    ],
)
def test_one_configuration_for_each_servable_and_version(servables, configs, expected):
    assert merged(servables, *configs) == expected


def test_what_contradicts_is_refused_in_the_originals_words(servables, tmp_path):
    other = tmp_path / "other"
    (other / "add").mkdir(parents=True)
    here = ServableStartConfig(str(servables), "add", device_ids=0)
    there = ServableStartConfig(str(other), "add", device_ids=1)
    words = "The servable directory of servable name add is different in multiple configurations, "
    with pytest.raises(RuntimeError, match=words):
        merge_config([here, there])
    key = ServableStartConfig(str(servables), "add", device_ids=0, dec_key=b"k" * 16)
    words = "The dec key or dec mode of servable name add is different in multiple configurations."
    with pytest.raises(RuntimeError, match=words):
        merge_config([here, key])
    old = ServableStartConfig(str(servables), "add", version_number=1, dec_key=b"k" * 32)
    assert [each.dec_key for each in merge_config([key, old])] == [b"k" * 16, b"k" * 32]


def test_a_servable_that_is_not_there_is_named(servables):
    where = f"servable directory '{servables}', servable name"
    with pytest.raises(RuntimeError) as refused:
        merged(servables, ("none", {}))
    assert str(refused.value) == (
        f"Check servable config failed, directory '{servables}/none' not exist, {where} 'none'"
    )
    (servables / "sub" / "servable_config.py").unlink()
    with pytest.raises(RuntimeError) as refused:
        merged(servables, ("sub", {}))
    assert str(refused.value) == (
        f"Check servable config failed, file '{servables}/sub/servable_config.py' not exist, "
        f" {where} 'sub'"
    )
