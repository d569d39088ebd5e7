"""Which rank a process is, by what mpirun and start scripts put into its environment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.agent.backends.mindspore_lite_rank import Rank, rank_in
from shared.errors import LoadFailed


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"PATH": "/bin", "OMPI_COMM_WORLD_SIZE": "2", "RANK_SIZE": "2"}, None),
        ({"RANK_ID": ""}, None),
        (
            {
                "OMPI_COMM_WORLD_RANK": "3",
                "OMPI_COMM_WORLD_SIZE": "4",
                "OMPI_COMM_WORLD_LOCAL_RANK": "1",
            },
            Rank(3, 4, 1),
        ),
        ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, Rank(3, 4)),
        (
            {
                "MV2_COMM_WORLD_RANK": "0",
                "MV2_COMM_WORLD_SIZE": "2",
                "MV2_COMM_WORLD_LOCAL_RANK": "0",
            },
            Rank(0, 2, 0),
        ),
        ({"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1"}, Rank(1, 2, 1)),
        ({"RANK_ID": "1"}, Rank(1)),
        (
            {
                "RANK_ID": "5",
                "RANK_SIZE": "8",
                "DEVICE_ID": "1",
                "RANK_TABLE_FILE": "table.json",
                "PARA_GROUP_FILE": "group_config.pb",
            },
            Rank(5, 8, 1, "table.json", "group_config.pb"),
        ),
    ],
)
def test_each_kind_of_starter_says_it_in_its_own_variables(environment, expected):
    assert rank_in(environment) == expected


def test_mpirun_is_believed_before_start_scripts():
    """A script that mpirun starts may pass on variables of a machine's own."""
    both = {"RANK_ID": "0", "OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}
    assert rank_in(both) == Rank(1, 2)


@pytest.mark.parametrize("names", [("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
                                   ("RANK_ID", "RANK_SIZE")])  # fmt: skip
def test_one_rank_of_one_is_no_gang(names):
    assert rank_in(dict(zip(names, "01", strict=True))) is None


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"RANK_ID": "-1"}, "RANK_ID should be a whole number from 0 on, but is '-1'"),
        ({"RANK_ID": "two"}, "RANK_ID should be a whole number from 0 on, but is 'two'"),
        ({"RANK_ID": "0", "DEVICE_ID": "1.5"}, "DEVICE_ID should be a whole number"),
        ({"PMI_RANK": "2", "PMI_SIZE": "2"}, "PMI_RANK is 2, but PMI_SIZE is 2"),
    ],
)
def test_variables_that_make_no_sense_are_named(environment, words):
    with pytest.raises(LoadFailed, match=words):
        rank_in(environment)


@given(st.integers(0, 10**6), st.integers(2, 10**6), st.text(max_size=4))
def test_whatever_they_hold_there_is_a_rank_below_the_size_or_a_named_error(number, size, device):
    environment = {"RANK_ID": str(number), "RANK_SIZE": str(size), "DEVICE_ID": device}
    try:
        rank = rank_in(environment)
    except LoadFailed as failure:
        assert "RANK_ID" in failure.message or "DEVICE_ID" in failure.message
    else:
        assert rank is not None
        assert rank.number == number < size == rank.size
