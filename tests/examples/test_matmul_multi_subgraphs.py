import pytest

from tests.support.examples import printed

NAME = "matmul_multi_subgraphs"
pytestmark = pytest.mark.mindspore


def test_it_prints_what_its_readme_says(example):
    assert example.run_client() == printed(NAME)
