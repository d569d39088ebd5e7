"""What ``distributed.startup_agents`` is told."""

import re

import pytest

from mindspore_serving.server.agents_config import AgentsStartConfig


@pytest.fixture
def configured(script_at):
    for number in range(2):
        (script_at / f"device{number}").mkdir()
        for file in ("a.mindir", "b, c.mindir", "group_config.pb"):
            (script_at / f"device{number}" / file).touch()

    def configured(**given):
        known = {
            "distributed_address": "127.0.0.1:6200",
            "model_files": ["device0/a.mindir", "device1/a.mindir"],
            "group_config_files": None,
            "agent_start_port": 7000,
            "agent_ip": None,
            "rank_start": None,
            "dec_key": None,
            "dec_mode": "AES-GCM",
        }
        return AgentsStartConfig(**(known | given))

    return configured


GROUPS = ["device0/group_config.pb", "device1/group_config.pb"]


def test_files_are_taken_from_the_folder_of_the_script(configured, script_at):
    config = configured(group_config_files=tuple(GROUPS))
    assert config.model_files == (
        (f"{script_at}/device0/a.mindir",),
        (f"{script_at}/device1/a.mindir",),
    )
    assert config.group_config_files == tuple((f"{script_at}/{each}",) for each in GROUPS)


def test_absolute_files_may_lie_anywhere(configured, script_at):
    given = [str(script_at / "device1" / "a.mindir")]
    assert configured(model_files=given).model_files == ((given[0],),)


def test_subgraphs_are_lists_and_one_rank_needs_none(configured, script_at):
    names = ["device0/a.mindir", "device0/b, c.mindir"]
    paths = tuple(f"{script_at}/{each}" for each in names)
    assert configured(model_files=[names, tuple(names)]).model_files == (paths, paths)
    assert configured(model_files=names[0]).model_files == (paths[:1],)


def test_ranks_may_have_the_same_file(configured):
    assert len(configured(model_files=["device0/a.mindir"] * 8).model_files) == 8


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"distributed_address": None},
            "Parameter 'distributed_address' should be str, but actually <class 'NoneType'>",
        ),
        ({"distributed_address": ""}, "Parameter 'distributed_address' should not be empty str"),
        (
            {"distributed_address": "host"},
            "Serving Error: The format of the Distributed gRPC address 'host' is illegal,"
            " expected HOST:PORT",
        ),
        (
            {"agent_start_port": "7000"},
            "Parameter 'agent_start_port' should be int, but actually <class 'str'>",
        ),
        ({"agent_start_port": 0}, "Parameter 'agent_start_port' should be in range [1,65528]"),
        ({"agent_start_port": 65529}, "Parameter 'agent_start_port' should be in range [1,65528]"),
        (
            {"model_files": {"a": 1}},
            "Parameter 'model_files' should be str or tuple/list of str, but actually"
            " <class 'dict'>",
        ),
        (
            {"model_files": ["device0/a.mindir", 7]},
            "The item of parameter 'model_files' should be str, but actually <class 'int'>",
        ),
        ({"model_files": [""]}, "The item of parameter 'model_files' should not be empty str"),
        (
            {"model_files": [["device0/a.mindir", None]]},
            "The inner of parameter 'model_files' should be str, but actually <class 'NoneType'>",
        ),
        ({"model_files": [[""]]}, "The inner of parameter 'model_files' should not be empty str"),
        (
            {"model_files": [["device0/a.mindir", "device0/a.mindir"]]},
            "The inner value 'device0/a.mindir' in parameter 'model_files' should not be repeated",
        ),
        (
            {"group_config_files": 1},
            "Parameter 'group_config_files' should be str or tuple/list of str, but actually"
            " <class 'int'>",
        ),
        (
            {"dec_key": "k" * 16},
            "Parameter 'dec_key' should be bytes, but actually <class 'str'>",
        ),
        ({"dec_key": b""}, "Parameter 'dec_key' should not be empty bytes"),
        ({"dec_key": b"k" * 17}, "Parameter 'dec_key' length 17 expected to be 16, 24 or 32"),
        (
            {"dec_mode": "AES-ECB"},
            "Parameter 'dec_mode' expected to be 'AES-GCM' or 'AES-CBC'",
        ),
        (
            {"agent_ip": "127.0.0.1"},
            "Parameter 'agent_ip' and parameter 'rank_start' must have values at the same time,"
            " or both None at the same time.",
        ),
        (
            {"rank_start": 0},
            "Parameter 'agent_ip' and parameter 'rank_start' must have values at the same time,"
            " or both None at the same time.",
        ),
        (
            {"agent_ip": 1, "rank_start": 0},
            "Parameter 'agent_ip' should be str, but actually <class 'int'>",
        ),
        (
            {"agent_ip": "127.0.0.1", "rank_start": "0"},
            "Parameter 'rank_start' should be int, but actually <class 'str'>",
        ),
        (
            {"agent_ip": "127.0.0.1", "rank_start": -1},
            "Parameter 'rank_start' should be >= 0",
        ),
        (
            {"group_config_files": GROUPS[:1]},
            "Model files count 2 does not equal to group config files count 1 when"
            " group_config_files is not None, model files: [['device0/a.mindir'],"
            " ['device1/a.mindir']], group config files: [['device0/group_config.pb']]",
        ),
        (
            {"model_files": [["device0/a.mindir", "device0/b, c.mindir"], "device1/a.mindir"]},
            "please check the number of  model files and group config files, model files:"
            " [['device0/a.mindir', 'device0/b, c.mindir'], ['device1/a.mindir']], group config"
            " files: None",
        ),
        (
            {"model_files": [[]]},
            "please check the number of  model files and group config files, model files: [[]],"
            " group config files: None",
        ),
        (
            {"group_config_files": [GROUPS, GROUPS]},
            "please check the number of  group config files, currently only support one at most",
        ),
        (
            {"model_files": ["device0/none.mindir"]},
            "Cannot access model file 'DIR/device0/none.mindir'",
        ),
        ({"model_files": ["device0"]}, "Cannot access model file 'DIR/device0'"),
        (
            {"group_config_files": [GROUPS[0], "none.pb"]},
            "Cannot access group config file 'DIR/none.pb'",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_the_originals_words(configured, script_at, given, words):
    with pytest.raises(RuntimeError, match=f"^{re.escape(words).replace('DIR', str(script_at))}$"):
        configured(**given)


def test_a_key_shows_nowhere(configured):
    config = configured(dec_key=b"0123456789ABCDEF", dec_mode="AES-CBC")
    assert config.decryption_key.mode == "AES-CBC"
    assert "0123456789ABCDEF" not in repr(vars(config))
