import signal

from tests.support.examples import MARKS, SECONDS, family, printed
from tests.support.scripts import alive_after

NAME = "tensor_add"
pytestmark = MARKS


def test_it_prints_what_its_readme_says_and_ends_when_asked_to(example):
    assert example.run_client() == printed(NAME)
    below = family(example.server.pid)
    assert len(below) >= 7  # the script, two masters, worker, two agents and their device processes
    example.server.terminate()
    assert example.server.wait(SECONDS) == -signal.SIGTERM
    assert not alive_after(below)
