import errno
import socket
import subprocess
import sys
from contextlib import contextmanager
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
    taken = unused_port()
    block = list(range(taken // 64 * 64, taken // 64 * 64 + 64))
    monkeypatch.setattr(ports, "_left", [*(each for each in block if each != taken), taken])
    with socket.create_server(("127.0.0.1", taken)):
        assert free_port() == block[-1 if taken != block[-1] else -2]


@contextmanager
def another_process(program):
    """One that goes on after ``program``; its words."""
    with subprocess.Popen(
        [sys.executable, "-c", f"from shared import ports\n{program}\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process.stdout.readline().split()


def test_two_processes_are_not_given_the_same_ports(monkeypatch):
    with another_process("print(ports.free_port())") as (port,):
        block = int(port) // 64
        other = unused_port() // 64
        monkeypatch.setattr("shared.ports._random.sample", lambda _, k: [block, other])
        monkeypatch.setattr(ports, "_left", [])
        assert free_port() // 64 == other
        assert free_port(block * 64 + 1) // 64 == other
        monkeypatch.undo()
        # Nor do those get them who would listen at once.
        monkeypatch.setattr("shared.ports._random.sample", lambda _, k: [block * 64 + 1])
        with pytest.raises(OSError, match="are all in use"):
            unused_port()
    assert unused_port() == block * 64 + 1


def test_ports_that_a_process_was_not_given_are_another_ones_when_it_has_ended(monkeypatch):
    with another_process("print(ports.free_port())") as (port,):
        preferred = int(port) // 64 * 64 + (int(port) + 1) % 64
        assert free_port(preferred) != preferred
    assert free_port(preferred) == preferred


def test_a_process_that_was_forked_gives_ports_of_its_own():
    forks = "import os\nfirst = ports.free_port()\nif not os.fork():"
    with another_process(
        f"{forks}\n    print(first, ports.free_port(), flush=True)\n    os._exit(0)\nos.wait()"
    ) as (first, forked):
        assert int(first) // 64 != int(forked) // 64


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
