import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

from mindspore_serving.client import Client
from tests.support.examples import MARKS, SECONDS, printed

NAME = "resnet"
DIRECT = Path(__file__).with_name("direct_resnet.py")
pytestmark = MARKS


def test_every_method_answers_alike(example):
    said = example.run_client()
    assert roughly(said) == roughly(printed(NAME))
    labels = re.findall(r"^test_image/(\w+).jpg, label: (\w+)$", said, re.MULTILINE)
    assert labels == [("china", labels[0][1]), ("flower", labels[1][1])] * 5
    best = re.findall(r"^label result: (\w+)(?:;\w+){4}$", said, re.MULTILINE)
    assert best == [labels[0][1], labels[1][1]] * 2


def roughly(said):
    """What is printed on any machine: the last bits of scores differ."""
    return re.sub(r"(label|result): .*", r"\1", said)


def test_the_top_five_are_those_of_mindspore_without_a_server(example):
    folder = example.folder / "examples" / NAME
    photographs = sorted((folder / "test_image").glob("*.jpg"))
    assert len(photographs) == 2
    model = folder / "resnet50" / "1" / "resnet50_1b_cifar10.mindir"
    ran = subprocess.run(
        [sys.executable, DIRECT, model, *photographs],
        timeout=SECONDS, check=True, capture_output=True, text=True,
    )  # fmt: skip
    direct = [json.loads(line) for line in ran.stdout.splitlines()]
    client = Client(example.grpc, "resnet50", "classify_top5")
    served = client.infer([{"image": each.read_bytes()} for each in photographs])
    for one, other in zip(served, direct, strict=True):
        assert one["label"].split(";") == other["label"]
        assert one["score"].dtype == np.float32
        assert np.allclose(one["score"], other["score"], rtol=1e-4, atol=0)
