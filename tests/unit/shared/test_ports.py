import errno
import socket
from pathlib import Path

import pytest

from shared import ports
from shared.ports import free_port, is_unused, unused_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_no_port_is_given_twice_and_none_that_the_kernel_gives_to_outgoing_connections():
    below = int(OUTGOING.read_text().split()[0])
    given = [free_port() for _ in range(50)]
    assert len(set(given)) == 50
    assert all(1024 <= port < below for port in given)


def test_a_port_that_is_listened_on_is_not_given(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port()))
        taken.listen()
        port = taken.getsockname()[1]
        other = unused_port(besides=ports._given)
        monkeypatch.setattr("shared.ports._random.sample", lambda _, k: [port, other])
        assert free_port() == other


def test_a_preferred_port_is_given_once():
    preferred = unused_port(besides=ports._given)
    assert free_port(preferred) == preferred
    assert free_port(preferred) != preferred


def test_a_port_is_unused_on_one_address_though_another_has_it():
    with socket.create_server(("127.0.0.2", unused_port("127.0.0.2"))) as server:
        port = server.getsockname()[1]
        assert not is_unused(port, "127.0.0.2")
        assert is_unused(port, "127.0.0.1")


def test_an_address_of_another_machine_has_no_ports_here():
    with pytest.raises(OSError, match="Cannot assign") as failed:
        unused_port("192.0.2.1")
    assert failed.value.errno == errno.EADDRNOTAVAIL
