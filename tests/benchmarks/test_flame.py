"""Flame graphs: which processes are ours."""

import pytest

from benchmarks.flame import service_of, titled


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


def test_a_drawing_names_what_it_shows_and_no_path():
    drawing = (
        '<svg><text id="title" x="5">/a/py-spy record --pid 7</text><text id="o">x</text></svg>'
    )
    assert titled(drawing, "worker: work a") == (
        '<svg><text id="title" x="5">worker: work a</text><text id="o">x</text></svg>'
    )
