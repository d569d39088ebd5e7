"""Which ranks belong on this machine."""

import re
import socket
from dataclasses import dataclass

import pytest

from mindspore_serving.server.local_ranks import LocalRank, can_bind, local_ranks
from shared.ports import free_port
from shared.rank_table import RankPlace

# Two machines with two devices each.
PLACES = tuple(RankPlace(rank, f"10.0.0.{1 + rank // 2}", device_id=rank % 2) for rank in range(4))
FILES = (("a.mindir",), ("b.mindir",))


@dataclass
class Config:
    """What local_ranks reads of an AgentsStartConfig."""

    model_files: tuple = FILES
    group_config_files: tuple | None = None
    agent_start_port: int = 7000
    agent_ip: str | None = None
    rank_start: int | None = None


def machine(*ips, taken=()):
    """A machine with these addresses, some ports of which are taken."""
    return lambda ip, port: ip in ips and port not in taken


def test_a_machine_has_the_ranks_of_its_address_on_ports_in_a_row():
    assert local_ranks(Config(), PLACES, machine("10.0.0.2")) == (
        LocalRank(2, 0, "10.0.0.2:7000", ("a.mindir",), ()),
        LocalRank(3, 1, "10.0.0.2:7001", ("b.mindir",), ()),
    )


def test_every_rank_gets_its_group_configuration():
    config = Config(group_config_files=(("a.pb",), ("b.pb",)))
    ranks = local_ranks(config, PLACES, machine("10.0.0.1"))
    assert [(each.rank, each.group_config_files) for each in ranks] == [
        (0, ("a.pb",)),
        (1, ("b.pb",)),
    ]


def test_a_machine_with_several_addresses_has_the_ranks_of_all():
    config = Config(model_files=FILES * 2)
    ranks = local_ranks(config, PLACES, machine("10.0.0.1", "10.0.0.2"))
    assert [each.address for each in ranks] == [
        "10.0.0.1:7000",
        "10.0.0.1:7001",
        "10.0.0.2:7002",
        "10.0.0.2:7003",
    ]


@pytest.mark.parametrize("rank_start", [2, 3])
def test_an_address_beside_the_rank_table_has_the_ranks_of_the_one_in_it(rank_start):
    config = Config(agent_ip="192.168.7.7", rank_start=rank_start)
    assert [
        (each.rank, each.device_id, each.address)
        for each in local_ranks(config, PLACES, machine("192.168.7.7"))
    ] == [(2, 0, "192.168.7.7:7000"), (3, 1, "192.168.7.7:7001")]


@pytest.mark.parametrize(
    ("config", "here", "words"),
    [
        (
            Config(),
            machine("10.0.0.9"),
            "Get local machine ip failed, rank table ips: ['10.0.0.1', '10.0.0.2'], bind port 7000",
        ),
        (
            Config(),
            machine("10.0.0.1", taken=[7000]),
            "Get local machine ip failed, rank table ips: ['10.0.0.1', '10.0.0.2'], bind port 7000",
        ),
        (
            Config(agent_ip="10.0.0.9", rank_start=0),
            machine("10.0.0.1"),
            "Check ip 'agent_ip' valid failed, agent_ip: 10.0.0.9, bind ports 7000 to 7007",
        ),
        (
            Config(agent_ip="10.0.0.9", rank_start=4),
            machine("10.0.0.9"),
            "Parameter 'rank_start' cannot equal or larger than rank size 4.",
        ),
        (
            Config(model_files=FILES[:1]),
            machine("10.0.0.1"),
            "Card count [0, 1] described rank table does not equal to model files size 1,"
            " model files: [['a.mindir']]",
        ),
        (
            Config(model_files=FILES * 2, agent_start_port=65533),
            machine("10.0.0.1", "10.0.0.2"),
            "Parameter 'agent_start_port' 65533 leaves no port for each of 4 agents",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_the_originals_words(config, here, words):
    with pytest.raises(RuntimeError, match=f"^{re.escape(words)}$"):
        local_ranks(config, PLACES, here)


def test_one_free_port_tells_that_an_address_is_this_machines():
    config = Config(agent_ip="10.0.0.9", rank_start=0)
    here = machine("10.0.0.9", taken=range(7000, 7007))
    assert len(local_ranks(config, PLACES, here)) == 2


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.0.0.9", "localhost"])
def test_addresses_and_names_of_this_machine_can_be_bound(ip):
    assert can_bind(ip, free_port())


@pytest.mark.parametrize("ip", ["192.0.2.1", "no.such.host.invalid", "x y", "a..b"])
def test_addresses_of_others_cannot(ip):
    assert not can_bind(ip, free_port())


def test_nor_ports_that_are_taken():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not can_bind("127.0.0.1", server.getsockname()[1])
