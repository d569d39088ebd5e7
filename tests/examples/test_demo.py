"""``make demo``."""

import json
import os
import shlex
import subprocess
import sys

import psutil
import requests

from tests.support.examples import MARKS, ROOT, SECONDS, printed
from tests.support.scripts import alive_after

pytestmark = MARKS


def test_the_demo_answers_what_it_says_it_answers_and_cleans_up(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "examples.demo", "--keep"],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        said = read_until("Press Enter to stop. ", demo)
        assert printed("tensor_add") + printed("add_sub_pipeline") in said
        lines = said.partition("Mindserve answers")[2].splitlines()
        command, curl = (shlex.split(line) for line in lines if line.startswith("  "))
        assert "[[2., 2.]" in subprocess.check_output(command, cwd=ROOT, text=True)
        _, url, _, body = curl
        answer = requests.post(url, data=body, timeout=SECONDS)
        assert json.loads(answer.text) == {"instances": [{"y": [[2.0, 2.0], [2.0, 2.0]]}]}
        said, _ = demo.communicate("\n", SECONDS)
        assert demo.returncode == 0, said
    finally:
        demo.terminate()
        demo.wait(SECONDS)
        demo.stdin.close()
        demo.stdout.close()
    assert list(tmp_path.iterdir()) == []
    assert not alive_after([each for each in psutil.process_iter() if started_with(each, tmp_path)])


def read_until(end, process):
    """What a process says up to ``end``, which it says without a newline."""
    said = ""
    while not said.endswith(end):
        character = process.stdout.read(1)
        assert character, said
        said += character
    return said


def started_with(process, folder):
    """Whether a process was started, by whomever, to keep its temporary files in ``folder``."""
    try:
        return process.environ().get("TMPDIR") == str(folder)
    except psutil.Error:
        return False
