"""Who takes the services' usual ports: ``make demo``, ``make demo-llm``, services left to defaults.

In one file, because files of tests run side by side.
"""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys

import psutil
import pytest
import requests

from tests.support.cluster import Cluster, add_servable
from tests.support.examples import ROOT, SECONDS, printed
from tests.support.scripts import alive_after

TEXT = """
This module provides
the class is a class for the same as the
the default, and the currently.  If the result is not be used to the
the default is a list of the same as a class.

"""
PROGRESS = "exporting the graphs of the language model with MindSpore:\n"


async def test_without_arguments_every_service_finds_the_others(tmp_path):
    for port in (5500, 6100, 6200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"somebody else listens on port {port}")
    async with Cluster(tmp_path) as cluster:
        add_servable(cluster.servables)
        for name in ("agent", "worker", "master"):
            cluster.start_bare(name)
        await cluster.ready("toy", "127.0.0.1:5500")


@pytest.mark.mindspore
@pytest.mark.timeout(300)
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


def started_llm(folder, *arguments):
    """The demo, whose graphs are kept below ``folder`` and its temporary files there too."""
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo_llm", "--models", folder / "models", *arguments],
        cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=os.environ | {"TMPDIR": str(folder / "temporary")},
    )  # fmt: skip


@pytest.mark.mindspore
@pytest.mark.timeout(600)
def test_the_demo_exports_once_streams_a_text_and_ends_by_itself_or_on_ctrl_c(tmp_path):
    first, second = started_llm(tmp_path), None
    try:
        said, _ = first.communicate(timeout=2 * SECONDS)
        assert first.returncode == 0, said
        assert said.startswith(PROGRESS)
        assert TEXT in said
        second = started_llm(tmp_path, "--keep")
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
