from tests.support.examples import MARKS, printed

NAME = "matmul_distributed"
pytestmark = MARKS


def test_it_prints_what_its_readme_says(example):
    assert sorted(example.exported.splitlines()) == [
        f"exported model/device{rank}/matmul.mindir" for rank in range(8)
    ]
    assert example.run_client() == printed(NAME)
