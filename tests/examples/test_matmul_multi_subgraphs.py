from tests.support.examples import MARKS, printed

NAME = "matmul_multi_subgraphs"
pytestmark = MARKS


def test_it_prints_what_its_readme_says(example):
    assert example.run_client() == printed(NAME)
