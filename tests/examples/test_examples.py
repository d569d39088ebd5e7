"""The examples as a user runs them, with real MindSpore."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 180

pytestmark = pytest.mark.mindspore


def python(*command, cwd, timeout=SECONDS):
    return subprocess.run(
        [sys.executable, *command], cwd=cwd, timeout=timeout, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def family(pid):
    """A process and everything below it."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def gone(processes, seconds=30):
    """Those of ``processes`` that are still there at the deadline."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive


@pytest.fixture
def example(tmp_path, request):
    """A copy of an example with its models exported."""
    folder = tmp_path / request.param
    shutil.copytree(ROOT / "examples" / request.param, folder)
    exported = python(folder / "export_model.py", cwd=tmp_path)
    assert exported.returncode == 0, exported.stderr
    return folder


@pytest.fixture
def server(example):
    """The example's serving_server.py, running; nothing of it is left afterwards."""
    process = subprocess.Popen(
        [sys.executable, example / "serving_server.py"],
        cwd=example,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if "RESTful" in line:
                break
        else:
            logs = [path.read_text() for path in (example / "serving_logs").glob("*.log")]
            pytest.fail("".join(said + logs))
        assert any("Serving gRPC server start success" in line for line in said)
        yield process
    finally:
        below = family(process.pid) if process.poll() is None else []
        process.terminate()
        process.wait(SECONDS)
        process.stdout.close()
        assert not gone(below)


@pytest.mark.parametrize("example", ["tensor_add"], indirect=True)
def test_tensor_add_runs_as_its_readme_says(example, server):
    answered = python(example / "serving_client.py", cwd=example)
    assert answered.returncode == 0, answered.stdout + answered.stderr
    assert answered.stdout.count("array([[2., 2.]") == 2
    below = family(server.pid)
    assert len(below) >= 6  # the script, master, worker, two agents and their device processes
    server.terminate()
    assert server.wait(SECONDS) == -signal.SIGTERM
    assert not gone(below)


@pytest.mark.parametrize("example", ["add_sub_pipeline"], indirect=True)
def test_add_sub_pipeline_runs_and_leaves_no_orphans_when_its_script_is_killed(example, server):
    answered = python(example / "serving_client.py", cwd=example)
    assert answered.returncode == 0, answered.stdout + answered.stderr
    below = family(server.pid)
    server.kill()
    server.wait(SECONDS)
    assert not gone(below[1:])


def test_the_demo_answers_and_cleans_up(tmp_path):
    demo = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT, timeout=SECONDS, capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert demo.returncode == 0, demo.stdout + demo.stderr
    for answer in ("[[2., 2.]", "[[4., 4.]", "[[6., 6.]", "[[40., 40.]", "[[42., 42.]"):
        assert answer in demo.stdout
    assert list(tmp_path.iterdir()) == []
    assert not gone([each for each in psutil.process_iter() if started_with(each, tmp_path)])


def started_with(process, folder):
    """Whether a process was started, by whomever, to keep its temporary files in ``folder``."""
    try:
        return process.environ().get("TMPDIR") == str(folder)
    except psutil.Error:
        return False
