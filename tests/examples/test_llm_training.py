"""How the example's language model was made can be done again: a few steps of each script."""

import re
import subprocess
import sys

import numpy as np
import pytest

from examples.llm.sizes import LORA, WEIGHTS
from examples.llm.train_tokenizer import TOKENIZER
from tests.support.examples import MARKS, ROOT, SECONDS

README = ROOT / "examples" / "llm" / "README.md"
TRAINING = [*MARKS, pytest.mark.timeout(600)]
SAID = re.compile(r"step 2, loss (\d\.\d+), \d+ s\n")


def run(*command):
    ran = subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        check=False, timeout=2 * SECONDS, cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def shapes(path):
    return {name: (array.shape, array.dtype) for name, array in np.load(path).items()}


def test_the_tokenizer_is_made_of_the_text_of_this_python(tmp_path):
    run("examples.llm.train_tokenizer", "--output", tmp_path / "tokenizer.json")
    made = (tmp_path / "tokenizer.json").read_text()
    assert made[:400] == TOKENIZER.read_text()[:400]
    if sys.version_info[:3] == (3, 11, 7):
        assert made == TOKENIZER.read_text()


class TestMindSpore:
    pytestmark = TRAINING

    def test_training_goes_on_from_the_weights_whose_loss_the_readme_names(self, tmp_path):
        output = tmp_path / "weights.npz"
        said = run("examples.llm.train", "--begin-with", WEIGHTS, "--steps", 2, "--rows", 1,
                   "--rate", 1e-6, "--output", output)  # fmt: skip
        assert SAID.search(said), said
        assert shapes(output) == shapes(WEIGHTS)
        [loss] = re.findall(r"loss on what was held out: (.*)", said)
        [named] = re.findall(r"\*\*(\S+) on what was held out\*\*", README.read_text())
        # Other versions of Python say other things.
        assert float(loss) == pytest.approx(float(named), abs=0.3)
        if sys.version_info[:3] == (3, 11, 7):
            assert f"{float(loss):.2f}" == named

    def test_adapters_are_trained_beside_the_weights(self, tmp_path):
        output = tmp_path / "adapters.npz"
        said = run("examples.llm.train_adapters", "--steps", 2, "--output", output)
        assert SAID.search(said), said
        assert shapes(output) == shapes(LORA)
        for name, array in np.load(output).items():
            assert not array[0].any(), name
