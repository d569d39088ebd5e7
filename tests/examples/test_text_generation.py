import codecs
import contextlib
import io

import pytest

from mindspore_serving.client import Client
from tests.support.examples import MARKS, printed

with contextlib.redirect_stdout(io.StringIO()):
    import this

NAME = "text_generation"
LINES = [line for line in codecs.decode(this.s, "rot13").splitlines() if line]
pytestmark = MARKS


def test_it_prints_what_its_readme_says(example):
    assert example.run_client() == printed(NAME)


@pytest.mark.parametrize("method", ["generate", "generate_batch"])
def test_many_texts_are_continued_at_once(example, method):
    client = Client(example.grpc, "zen", method)
    requests = [{"prompt": beginning(line), "max_length": 100} for line in LINES]
    futures = [client.infer_async(each) for each in requests]
    together = client.infer(requests)
    assert [answer["text"] for answer in together] == LINES
    assert [future.result() for future in futures] == [[{"text": line}] for line in LINES]


def beginning(line):
    """As much of a line as it takes to tell it from the others."""
    others = [other for other in LINES if other != line]
    beginnings = (line[:count] for count in range(1, len(line)))
    return next(each for each in beginnings if not any(other.startswith(each) for other in others))


@pytest.mark.parametrize("method", ["generate", "generate_batch"])
def test_texts_end_where_the_client_or_the_servable_says(example, method):
    client = Client(example.grpc, "zen", method)
    asked = [
        ("Beautiful is", 20),
        ("Beautiful is", 3),
        ("x" * 256, 10**9),
        ("", 90),
        ("Na\u00efve", 50),
    ]
    answers = client.infer([{"prompt": p, "max_length": length} for p, length in asked])
    assert answers[0] == {"text": "Beautiful is better "}
    assert answers[1] == {"text": "Beautiful is"}
    assert answers[2] == {"text": "x" * 256}
    assert len(answers[3]["text"]) <= 90
    assert "'ascii' codec can't encode" in answers[4]["error"]
