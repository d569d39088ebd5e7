"""Where the ranks of a distributed model run."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import LoadFailed, ServingError
from shared.rank_table import RankPlace, check_places, read_rank_table

TWO = (RankPlace(0, "10.0.0.1", 0), RankPlace(1, "10.0.0.1", 1))


def by_servers(places):
    """Form A, one server for each run of ranks on the same machine."""
    servers = []
    for each in places:
        if not servers or servers[-1]["server_id"] != each.ip:
            servers.append({"server_id": each.ip, "device": []})
        servers[-1]["device"].append(
            {"device_id": str(each.device_id), "rank_id": str(each.rank), "device_ip": "192.1.0.1"}
        )
    return {"version": "1.0", "server_count": "1", "server_list": servers, "status": "completed"}


def by_groups(places):
    """Form B."""
    instances = [
        {
            "server_id": each.ip,
            "rank_id": str(each.rank),
            "devices": [{"device_id": str(each.device_id)}],
        }
        for each in places
    ]
    return {"group_list": [{"group_name": "g", "instance_list": instances}]}


def read(table):
    return read_rank_table(json.dumps(table), "table.json")


PLACES = st.lists(
    st.tuples(st.sampled_from(["10.0.0.1", "10.0.0.2", "host"]), st.integers(0, 63)), min_size=1
).map(lambda drawn: tuple(RankPlace(rank, *each) for rank, each in enumerate(drawn)))


@given(PLACES, st.sampled_from([by_servers, by_groups]))
def test_both_forms_are_read(places, form):
    assert read(form(places)) == places


def test_groups_are_looked_for_first():
    assert read(by_groups(TWO) | {"server_list": "nonsense"}) == TWO


def spoilt(form, *path, value=None):
    """A table in which one place says something else, or nothing at all."""
    table = copy.deepcopy(form(TWO))
    place = table
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return table


DEVICE = ("server_list", 0, "device", 1)
INSTANCE = ("group_list", 0, "instance_list", 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([], "it is not json object"),
        ({}, "server_list in file is not find"),
        (spoilt(by_servers, "server_list", value={}), "server_list in file is not array"),
        (spoilt(by_servers, "server_list", value=[]), "server_list attr is empty"),
        (spoilt(by_servers, "server_list", value=[1]), "server_list[0] in file is not json object"),
        (
            spoilt(by_servers, "server_list", 0, "server_id", value=1),
            "server_list[0].server_id in file is not string",
        ),
        (
            spoilt(by_servers, "server_list", 0, "server_id", value=""),
            "server_list[0].server_id attr is empty",
        ),
        (
            spoilt(by_servers, "server_list", 0, "device", value=[]),
            "server_list[0].device attr is empty",
        ),
        (
            spoilt(by_servers, *DEVICE, "rank_id"),
            "server_list[0].device[1].rank_id of the rank expected to be 1 in file is not find",
        ),
        (
            spoilt(by_servers, *DEVICE, "device_id", value="x"),
            "server_list[0].device[1].device_id of rank 1 attr is invalid argument: 'x'",
        ),
        (
            spoilt(by_servers, *DEVICE, "device_id", value="-1"),
            "server_list[0].device[1].device_id of rank 1 attr is invalid argument: '-1'",
        ),
        (
            spoilt(by_servers, *DEVICE, "rank_id", value="0"),
            "device size not match rank_id: server_list[0].device[1] should be rank 1, got 0",
        ),
        (
            spoilt(by_servers, *DEVICE, "rank_id", value="2"),
            "device size not match rank_id: server_list[0].device[1] should be rank 1, got 2",
        ),
        (spoilt(by_groups, "group_list", value=[]), "group_list attr is empty"),
        (
            spoilt(by_groups, *INSTANCE, "devices", value=[]),
            "group_list[0].instance_list[1].devices attr is empty",
        ),
        (
            spoilt(by_groups, *INSTANCE, "rank_id", value="9"),
            "device size not match rank_id: group_list[0].instance_list[1] should be rank 1, got 9",
        ),
    ],
)
def test_a_fault_is_told_with_file_field_and_rank(table, message):
    with pytest.raises(LoadFailed) as failed:
        read(table)
    assert failed.value.message == f"Rank table file 'table.json': {message}"


def test_text_that_is_no_json_is_told():
    with pytest.raises(LoadFailed, match=r"'table.json': parse error: Expecting value: line 1"):
        read_rank_table("nonsense", "table.json")


KEYS = ["group_list", "instance_list", "devices", "server_list", "server_id", "device", "rank_id"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(
                [
                    "server_list",
                    "group_list",
                    "instance_list",
                    "device",
                    "devices",
                    "server_id",
                    "rank_id",
                ]
            ),
            inner,
        )
    ),
)


@given(JSON)
def test_whatever_a_file_says_only_the_named_error_comes_of_it(table):
    try:
        places = read(table)
    except ServingError as failure:
        assert isinstance(failure, LoadFailed)
    else:
        assert [each.rank for each in places] == list(range(len(places)))


def machines(*counts):
    """That many devices on each of several machines."""
    spread = [(f"10.0.0.{m}", device) for m, count in enumerate(counts) for device in range(count)]
    return [RankPlace(rank, *each) for rank, each in enumerate(spread)]


@pytest.mark.parametrize(
    ("places", "stages", "device"),
    [
        (machines(8), 1, "Ascend"),
        (machines(8, 8), 2, "Ascend"),
        (machines(4), 2, "CPU"),
        (machines(2, 2), 1, "CPU"),
        (machines(12), 1, "GPU"),
    ],
)
def test_ranks_that_fit_are_accepted(places, stages, device):
    check_places(places, "t", len(places), stages, device)


@pytest.mark.parametrize(
    ("places", "ranks", "stages", "device", "message"),
    [
        (machines(2), 4, 1, "CPU", "Rank size 2 declared in rank table file 't' not equal to 4"),
        (machines(4), 4, 3, "CPU", "integral multiple of stage size, rank size: 4, stage size: 3"),
        (
            [RankPlace(0, "a", 3), RankPlace(1, "b", 3), RankPlace(2, "a", 3)],
            *(3, 1, "CPU"),
            "device id repeatedly used by rank 2 in device ip a: device 3 is the one of rank 0",
        ),
        (machines(9), 9, 1, "Ascend", "larger than 7, but that of rank 8 is 8"),
        (machines(4), 4, 2, "Ascend", "Rank size 4 must >= card count 8 of one machine"),
        (machines(4, 4), 8, 2, "Ascend", "rank 4 belongs on device 4 of 10.0.0.0, got device 0"),
    ],
)
def test_ranks_that_do_not_fit_are_told(places, ranks, stages, device, message):
    with pytest.raises(LoadFailed) as failed:
        check_places(places, "t", ranks, stages, device)
    assert message in failed.value.message
