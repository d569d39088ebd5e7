"""Whether a process listens, as the kernel sees it."""

import os
import socket
import subprocess
import sys

import pytest

from services.agent.collective.listening import listens


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, ""), (socket.AF_INET6, "::1")])
def test_a_process_listens_once_it_does(family, host):
    with socket.socket(family) as server:
        server.bind((host, 0))
        port = server.getsockname()[1]
        assert not listens(os.getpid(), port)
        server.listen()
        assert listens(os.getpid(), port)
    assert not listens(os.getpid(), port)


def test_that_another_process_listens_does_not_count():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as child:
            assert not listens(child.pid, port)
        assert not listens(child.pid, port)


def test_a_connection_from_a_port_is_no_server_there():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert not listens(os.getpid(), client.getsockname()[1])
