import re

from mindspore_serving.client import Client
from tests.support.examples import MARKS, printed

NAME = "lenet"
pytestmark = MARKS


def test_held_out_digits_are_classified_through_every_door(example):
    said = example.run_client()
    assert labelless(said) == labelless(printed(NAME))
    right = [int(each) for each in re.findall(r"^right: (\d+) of 360,", said, re.MULTILINE)]
    assert len(right) == 3
    assert min(right) >= 0.95 * 360


def labelless(said):
    """What is printed wherever LeNet was trained: last bits differ between machines."""
    return re.sub(r"(result|right): .*", r"\1", said)


def test_a_file_that_is_no_image_fails_alone(example):
    images = example.folder / "examples" / NAME / "test_image"
    one, two = ((images / f"{digit}-1.png").read_bytes() for digit in (1, 2))
    client = Client(example.grpc, "lenet", "classify_top1")
    answers = client.infer([{"image": each} for each in (one, b"no image", two)])
    assert [set(answer) for answer in answers] == [{"label"}, {"error"}, {"label"}]
    assert "Call Function 'lenet.preprocess' Failed" in answers[1]["error"]
    assert "cannot identify image file" in answers[1]["error"]
