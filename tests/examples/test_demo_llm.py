"""``make demo-llm``."""

import json
import os
import shlex
import signal
import subprocess
import sys

import psutil
import pytest
import requests

from tests.examples.test_demo import read_until, started_with
from tests.support.examples import MARKS, ROOT, SECONDS
from tests.support.scripts import alive_after

pytestmark = [*MARKS, pytest.mark.timeout(600)]

TEXT = """
This module provides
the class is a class for the same as the
the default, and the currently.  If the result is not be used to the
the default is a list of the same as a class.

"""
PROGRESS = "exporting the graphs of the language model with MindSpore:\n"


def started(folder, *arguments):
    """The demo, whose graphs are kept below ``folder`` and its temporary files there too."""
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo_llm", "--models", folder / "models", *arguments],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=os.environ | {"TMPDIR": str(folder / "temporary")},
    )  # fmt: skip


def test_the_demo_exports_once_streams_a_text_and_ends_by_itself_or_on_ctrl_c(tmp_path):
    first, second = started(tmp_path), None
    try:
        said, _ = first.communicate(timeout=2 * SECONDS)
        assert first.returncode == 0, said
        assert said.startswith(PROGRESS)
        assert TEXT in said
        second = started(tmp_path, "--keep")
        said = read_until("Press Enter to stop. ", second)
        assert PROGRESS not in said
        assert TEXT in said
        (curl,) = (line for line in said.splitlines() if line.startswith("  curl"))
        _, url, _, body = shlex.split(curl)
        answer = requests.post(url, data=body, timeout=SECONDS)
        assert json.loads(answer.text)["choices"][0]["text"]
        second.send_signal(signal.SIGINT)
        said, _ = second.communicate(timeout=SECONDS)
        assert second.returncode == 130, said
        assert "Traceback" not in said
    finally:
        for demo in filter(None, (first, second)):
            demo.terminate()
            demo.wait(SECONDS)
            demo.stdin.close()
            demo.stdout.close()
    temporary = tmp_path / "temporary"
    assert list(temporary.iterdir()) == []
    assert not alive_after(
        [each for each in psutil.process_iter() if started_with(each, temporary)]
    )
