from tests.support.examples import MARKS, SECONDS, family, printed
from tests.support.scripts import alive_after

NAME = "add_sub_pipeline"
pytestmark = MARKS


def test_it_prints_what_its_readme_says_and_leaves_no_orphans_when_killed(example):
    assert example.run_client() == printed(NAME)
    below = family(example.server.pid)
    example.server.kill()
    example.server.wait(SECONDS)
    assert not alive_after(below[1:])
