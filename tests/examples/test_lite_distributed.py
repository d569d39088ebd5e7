"""The example of ranks on MindSpore Lite, with the stand-in in the place of that package."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from shared.ports import free_port
from tests.support import lite
from tests.support.examples import ROOT, printed
from tests.support.scripts import alive_after, logs_in
from tests.support.three_scripts import ports_in_a_row

NAME = "lite_distributed"
SECONDS = 60
X = {"name": "x", "dtype": "float32", "dims": [128, 96]}
Y = {"name": "y", "dtype": "float32", "dims": [128, 16]}


def write_models(folder):
    """What the stand-in runs in the place of the two exported files."""
    (folder / "model").mkdir()
    for rank in range(2):
        described = {"function": "matmul", "weight": 0.5, "ranks": 2, "meeting": str(folder)}
        described |= {"inputs": [X], "outputs": [Y]}
        (folder / "model" / f"Matmul{rank}.mindir").write_text(json.dumps(described))


@contextmanager
def running(folder, command, **environment):
    """A command of the README, ended with everything below it."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        below = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(SECONDS)
        process.stdout.close()
        assert not alive_after(below)


def by_script(stack, folder, worker):
    """The README's agents on Ascends."""
    command = [sys.executable, f"examples/{NAME}/serving_agent.py"]
    command += ["--distributed_address", worker, "--agent_start_port", str(ports_in_a_row(2))]
    stack.enter_context(running(folder, command, MINDSERVE_AGENT_DEVICE_TYPE="Ascend"))


def by_mpirun(stack, folder, worker):
    """The README's agents on GPUs, started as mpirun would."""
    text = (ROOT / "examples" / NAME / "README.md").read_text()
    (line,) = re.findall(r"^mpirun -n 2 (.*)$", text, re.MULTILINE)
    line = line.replace("127.0.0.1:6200", worker).replace("python", sys.executable)
    for rank in map(str, range(2)):
        variables = {
            "OMPI_COMM_WORLD_RANK": rank,
            "OMPI_COMM_WORLD_SIZE": "2",
            "OMPI_COMM_WORLD_LOCAL_RANK": rank,
        }
        stack.enter_context(running(folder, shlex.split(line), **variables))


@pytest.mark.parametrize("start_agents", [by_script, by_mpirun])
def test_two_ranks_print_what_the_readme_says(tmp_path, monkeypatch, start_agents):
    example = tmp_path / "examples" / NAME
    shutil.copytree(ROOT / "examples" / NAME, example, ignore=shutil.ignore_patterns("model"))
    write_models(example)
    lite.install(monkeypatch)
    grpc, rest, worker = (f"127.0.0.1:{free_port()}" for _ in range(3))
    command = [sys.executable, f"examples/{NAME}/serving_server.py", "--grpc", grpc]
    command += ["--rest", rest, "--distributed_address", worker]
    with ExitStack() as stack:
        server = stack.enter_context(running(tmp_path, command))
        start_agents(stack, tmp_path, worker)
        said = []
        for line in server.stdout:
            said.append(line)
            if "RESTful server start success" in line:
                break
        else:
            pytest.fail("".join(said) + logs_in(tmp_path) + logs_in(example))
        done = subprocess.run(
            [sys.executable, f"examples/{NAME}/serving_client.py", "--grpc", grpc],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (done.stdout, done.stderr) == (printed(NAME), ""), logs_in(tmp_path)
