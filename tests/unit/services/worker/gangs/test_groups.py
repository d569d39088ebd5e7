"""Which ranks compute together, and what their agents are told."""

import pytest

from services.worker.gangs.groups import (
    assigned_to,
    groups_of,
    meets,
    scheduler_at,
    takes_inputs,
)
from shared.membership import Assigned, Device, GangPart, ModelFiles
from shared.servable import Distribution, ServableVersion

WHAT = ServableVersion("matmul", 1)
CPU, ASCEND = Device("CPU", 0), Device("Ascend", 0)


def assigned(model_format="mindir"):
    return Assigned(WHAT, (ModelFiles("matmul", model_format, (), True, (1,), 32),))


def ranks(groups):
    return [list(group.ranks) for group in groups]


def test_all_ranks_of_one_stage_are_one_group():
    for device_type in ("CPU", "Ascend", "GPU"):
        (group,) = groups_of(Distribution(8), device_type)
        assert list(group.ranks) == list(range(8))
        assert all(takes_inputs(group, rank) for rank in range(8))


@pytest.mark.parametrize(
    ("relay_stages", "device_type", "expected"),
    [
        (None, "CPU", [[0, 1], [2, 3]]),
        (None, "Ascend", [[0, 1, 2, 3]]),
        (None, "GPU", [[0, 1, 2, 3]]),
        (True, "Ascend", [[0, 1], [2, 3]]),
        (False, "CPU", [[0, 1, 2, 3]]),
    ],
)
def test_stages_are_groups_of_their_own_where_the_worker_carries_what_they_give(
    relay_stages, device_type, expected
):
    distribution = Distribution(4, 2, relay_stages=relay_stages)
    assert ranks(groups_of(distribution, device_type)) == expected


def test_the_first_stage_of_a_group_takes_the_inputs():
    (all_of_them,) = groups_of(Distribution(4, 2), "Ascend")
    assert [takes_inputs(all_of_them, rank) for rank in range(4)] == [True, True, False, False]
    _, second = groups_of(Distribution(4, 2), "CPU")
    assert takes_inputs(second, 2)
    assert takes_inputs(second, 3)


def test_ranks_meet_through_a_scheduler_unless_something_else_joins_them():
    (pair,) = groups_of(Distribution(2), "CPU")
    (alone,) = groups_of(Distribution(1), "CPU")
    assert meets(pair, assigned(), CPU, "{}")
    assert meets(pair, assigned(), ASCEND, "")
    assert not meets(pair, assigned(), ASCEND, "{}")
    assert not meets(pair, assigned("reference"), CPU, "")
    assert not meets(alone, assigned(), CPU, "")


def test_the_scheduler_is_on_the_host_of_its_agent():
    assert scheduler_at("10.0.0.5:7000") == "10.0.0.5:0"
    assert scheduler_at("[::1]:7000") == "[::1]:0"


def test_an_agent_is_told_its_place_in_the_gang_and_in_its_group():
    _, second = groups_of(Distribution(4, 2), "CPU")
    told = assigned_to(
        3, second, assigned(), epoch=9, rank_size=4, scheduler="h:1", rank_table="{}"
    )
    assert told.what == WHAT
    assert told.gang == GangPart(
        epoch=9, rank=3, rank_size=4, group_rank=1, group_size=2, scheduler="h:1", rank_table="{}"
    )


def test_what_another_stage_gives_has_a_row_for_each_row():
    first, second = groups_of(Distribution(4, 2), "CPU")
    about = {"epoch": 1, "rank_size": 4, "scheduler": "", "rank_table": ""}
    assert assigned_to(0, first, assigned(), **about).models[0].without_batch_dim_inputs == (1,)
    assert assigned_to(2, second, assigned(), **about).models[0].without_batch_dim_inputs == ()
