"""Flame graphs: which processes are ours."""

import pytest

from benchmarks.flame import service_of


@pytest.mark.parametrize(
    ("arguments", "service"),
    [
        (["python", "-m", "services.worker", "--listen", "127.0.0.1:0"], "worker"),
        (["python", "-m", "services.agent.device", "7", "8"], "device"),
        (["h2load", "-m", "8"], ""),
        (["python", "-m"], ""),
    ],
)
def test_services_are_known_by_their_command_lines(arguments, service):
    assert service_of(arguments) == service
