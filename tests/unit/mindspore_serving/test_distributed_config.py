"""What ``distributed.start_servable`` is told."""

import json

import pytest

from mindspore_serving.server.distributed_config import DistributedStartConfig
from shared.rank_table import RankPlace


def table(*servers):
    """A rank table: for each server its address and its device ids."""
    rank = iter(range(100))
    return json.dumps(
        {
            "server_list": [
                {
                    "server_id": ip,
                    "device": [
                        {"device_id": str(each), "rank_id": str(next(rank))} for each in devices
                    ],
                }
                for ip, devices in servers
            ]
        }
    )


@pytest.fixture
def configured(script_at):
    (script_at / "matmul").mkdir()
    (script_at / "matmul" / "servable_config.py").touch()
    (script_at / "table.json").write_text(table(("127.0.0.1", (0, 1))))

    def configured(**given):
        known = {
            "servable_directory": str(script_at),
            "servable_name": "matmul",
            "rank_table_json_file": "table.json",
            "version_number": 1,
            "distributed_address": "0.0.0.0:6200",
            "wait_agents_time_in_seconds": 0,
        }
        return DistributedStartConfig(**(known | given))

    return configured


def test_paths_are_taken_from_the_folder_of_the_script(configured, script_at):
    config = configured(servable_directory=".")
    assert config.servable_directory == str(script_at)
    assert config.rank_table_json_file == str(script_at / "table.json")
    assert config.places == (RankPlace(0, "127.0.0.1", 0), RankPlace(1, "127.0.0.1", 1))


def test_version_0_means_1(configured):
    assert configured(version_number=0).version_number == 1
    assert configured(version_number=3).version_number == 3


@pytest.mark.parametrize(
    ("ips", "asked", "listens", "called"),
    [
        # As the rank table says that no agent is beyond loopback, nothing listens there.
        (("127.0.0.1",), "0.0.0.0:6200", "127.0.0.1:6200", "127.0.0.1:6200"),
        (("127.0.0.1", "127.0.0.2", "localhost"), "0.0.0.0:1", "127.0.0.1:1", "127.0.0.1:1"),
        (("127.0.0.1", "10.0.0.1"), "0.0.0.0:6200", "0.0.0.0:6200", "127.0.0.1:6200"),
        (("host1",), "0.0.0.0:6200", "0.0.0.0:6200", "127.0.0.1:6200"),
        (("127.0.0.1",), "10.0.0.1:6200", "10.0.0.1:6200", "10.0.0.1:6200"),
        (("10.0.0.1",), "10.0.0.1:6200", "10.0.0.1:6200", "10.0.0.1:6200"),
    ],
)
def test_nothing_listens_beyond_loopback_unless_asked(
    configured, script_at, ips, asked, listens, called
):
    (script_at / "table.json").write_text(table(*((ip, (0,)) for ip in ips)))
    config = configured(distributed_address=asked)
    assert (config.distributed_address, config.local_address) == (listens, called)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"servable_directory": 1},
            "Parameter 'servable_directory' should be str, but actually <class 'int'>",
        ),
        ({"servable_directory": ""}, "Parameter 'servable_directory' should not be empty str"),
        (
            {"servable_name": None},
            "Parameter 'servable_name' should be str, but actually <class 'NoneType'>",
        ),
        ({"servable_name": ""}, "Parameter 'servable_name' should not be empty str"),
        (
            {"version_number": True},
            "Parameter 'version_number' should be int, but actually <class 'bool'>",
        ),
        ({"version_number": -1}, "Parameter 'version_number' should be >= 0"),
        (
            {"rank_table_json_file": None},
            "Parameter 'rank_table_json_file' should be str, but actually <class 'NoneType'>",
        ),
        ({"rank_table_json_file": ""}, "Parameter 'rank_table_json_file' should not be empty str"),
        (
            {"distributed_address": 6200},
            "Parameter 'distributed_address' should be str, but actually <class 'int'>",
        ),
        ({"distributed_address": ""}, "Parameter 'distributed_address' should not be empty str"),
        (
            {"wait_agents_time_in_seconds": 1.5},
            "Parameter 'wait_agents_time_in_seconds' should be int, but actually <class 'float'>",
        ),
        (
            {"wait_agents_time_in_seconds": -1},
            "Parameter 'wait_agents_time_in_seconds' should be >= 0",
        ),
        (
            {"distributed_address": "host"},
            "Serving Error: The format of the Distributed gRPC address 'host' is illegal,"
            " expected HOST:PORT",
        ),
        (
            {"distributed_address": "host:"},
            "Serving Error: The format of the Distributed gRPC address 'host:' is illegal."
            " Missing ip or port",
        ),
        (
            {"distributed_address": "host:x"},
            "Serving Error: The format of the Distributed gRPC address 'host:x' is illegal,"
            " port is not a number",
        ),
        (
            {"distributed_address": "host:0"},
            "The port of the Distributed gRPC address 'host:0' is out of legal range [1 ~ 65535]",
        ),
        (
            {"distributed_address": "a:b:1"},
            "Serving Error: Distributed gRPC server start failed, create server failed, address"
            " a:b:1: expected HOST:PORT",
        ),
        (
            {"servable_name": "nobody"},
            "Check servable config failed, directory 'DIR/nobody' not exist, servable directory"
            " 'DIR', servable name 'nobody'",
        ),
        ({"rank_table_json_file": "no.json"}, "failed to get realpath of\uff1aDIR/no.json"),
        ({"rank_table_json_file": "matmul"}, "failed to open rank table file\uff1aDIR/matmul"),
    ],
)
def test_what_cannot_be_is_refused_in_the_originals_words(configured, script_at, given, words):
    with pytest.raises(RuntimeError) as failure:
        configured(**given)
    assert str(failure.value).replace(str(script_at), "DIR") == words


def grouped(**changes):
    """A rank table with group_list, whose one rank has what the test changes."""
    instance = {"server_id": "127.0.0.1", "rank_id": "0", "devices": [{"device_id": "0"}]}
    return json.dumps({"group_list": [{"instance_list": [instance | changes]}]})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "parse error: "),
        ("[1]", "it is not json object"),
        ("{}", "server_list in file is not find"),
        ('{"server_list": {}}', "server_list in file is not array"),
        ('{"server_list": []}', "server_list attr is empty"),
        ('{"group_list": []}', "group_list attr is empty"),
        ('{"group_list": [{"instance_list": []}]}', "instance_list attr is empty"),
        (table(("", (0,))), "server_list[0].server_id attr is empty"),
        (table(("host", ())), "server_list[0].device attr is empty"),
        (grouped(devices=[]), "group_list[0].instance_list[0].devices attr is empty"),
        (grouped(rank_id=0), "rank_id of the rank expected to be 0 in file is not string"),
        (grouped(rank_id=""), "rank_id of the rank expected to be 0 attr is empty"),
        (grouped(rank_id="one"), "rank_id of the rank expected to be 0 attr is invalid argument"),
        (grouped(devices=[{"device_id": "x"}]), "device_id of rank 0 attr is invalid argument"),
        (grouped(rank_id="1"), "device size not match rank_id: "),
        (
            table(("host", (0, 1)), ("host", (1,))),
            "device id repeatedly used by rank 2 in device ip host: device 1 is the one of rank 1",
        ),
    ],
)
def test_a_rank_table_that_is_none_is_told_at_once_with_file_and_place(
    configured, script_at, text, words
):
    (script_at / "table.json").write_text(text)
    with pytest.raises(RuntimeError) as failure:
        configured()
    message = str(failure.value).replace(str(script_at), "DIR")
    assert message.startswith("Rank table file 'DIR/table.json': ")
    assert words in message
