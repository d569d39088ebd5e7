"""What ranks and their scheduler find in their environment."""

import pytest

from services.agent.collective.environment import rank_environment, scheduler_environment
from shared.addresses import HostPort
from shared.membership import Device, GangPart

# The second rank of the second stage of two, whose stages are relayed.
PART = GangPart(7, 3, 4, 1, 2)
SCHEDULER = HostPort("127.0.0.1", 20000)
OF_ITS_RANK = {"RANK_ID": "3", "RANK_SIZE": "4", "DEVICE_ID": "5"}
MEETING = {
    "MS_WORKER_NUM": "2",
    "MS_SCHED_HOST": "127.0.0.1",
    "MS_SCHED_PORT": "20000",
    "MS_NODE_TIMEOUT": "5",
    "MS_RECEIVE_MSG_TIMEOUT": "3",
}


@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_ranks_of_cpus_and_gpus_meet_at_a_scheduler(kind):
    told = rank_environment(PART, Device(kind, 5), SCHEDULER, "", ("a.pb",))
    assert told == OF_ITS_RANK | MEETING | {"MS_ROLE": "MS_WORKER", "MS_NODE_ID": "1"}


def test_ranks_of_ascends_meet_by_their_rank_table():
    told = rank_environment(PART, Device("Ascend", 5), None, "/tables/t.json", ("a.pb", "b.pb"))
    assert told == OF_ITS_RANK | {
        "MS_ENABLE_HCCL": "1",
        "RANK_TABLE_FILE": "/tables/t.json",
        "PARA_GROUP_FILE": "a.pb;b.pb",
    }


def test_ranks_of_ascends_without_a_rank_table_meet_at_a_scheduler():
    told = rank_environment(PART, Device("Ascend", 5), SCHEDULER, "", ())
    assert told == OF_ITS_RANK | MEETING | {
        "MS_ROLE": "MS_WORKER",
        "MS_NODE_ID": "1",
        "MS_ENABLE_HCCL": "1",
    }


def test_a_rank_that_computes_alone_meets_nobody():
    assert rank_environment(PART, Device("CPU", 5), None, "", ()) == OF_ITS_RANK


def test_the_scheduler_waits_for_the_ranks_of_one_group():
    assert scheduler_environment(SCHEDULER, 2) == MEETING | {"MS_ROLE": "MS_SCHED"}
