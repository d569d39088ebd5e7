"""The examples as a user runs them: the commands of their README, in a copy, on free ports."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from shared.ports import free_port
from tests.support.scripts import alive_after
from tests.support.three_scripts import ports_in_a_row

ROOT = Path(__file__).parents[2]
SECONDS = 180
MARKS = [pytest.mark.mindspore, pytest.mark.timeout(300)]
"""Of every test of an example: a model is made, perhaps trained, and a whole stack started."""
_MADE_WHILE_RUNNING = shutil.ignore_patterns(
    "1", "model", "test_image", "serving_logs", "__pycache__"
)
_PROGRESS = "Serving: waiting for the ranks of servable "


def blocks(document: str, language: str) -> list[str]:
    """What a document shows of a language, as it stands there; "" is what has no language."""
    text = (ROOT / document).read_text()
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for written_in, block in found if written_in == language]


@dataclass(frozen=True, slots=True)
class Example:
    """An example whose model is exported and whose server runs."""

    name: str
    folder: Path
    """A folder like the repository, with this example in it."""
    grpc: str
    rest: str
    server: subprocess.Popen[str]
    exported: str
    """What its exporter printed."""

    def run_client(self) -> str:
        """What the client of the README prints; fails when it does."""
        return _run(self.folder, [*_command(self.name, "serving_client.py"), *self._doors()])

    def _doors(self) -> list[str]:
        script = self.folder / "examples" / self.name / "serving_client.py"
        rest = ["--rest", self.rest] if "--rest" in script.read_text() else []
        return ["--grpc", self.grpc, *rest]


@contextmanager
def running(name: str, folder: Path) -> Iterator[Example]:
    """Export an example in a copy below ``folder`` and serve it; nothing of it is left after."""
    shutil.copytree(
        ROOT / "examples" / name, folder / "examples" / name, ignore=_MADE_WHILE_RUNNING
    )
    for shared in ("__init__.py", "ranks.py"):
        shutil.copy(ROOT / "examples" / shared, folder / "examples")
    exported = _run(folder, _command(name, "export_model/"))
    grpc, rest = (f"127.0.0.1:{free_port()}" for _ in range(2))
    joined = _joined(name)
    server = subprocess.Popen(
        [*_command(name, "serving_server.py"), "--grpc", grpc, "--rest", rest, *joined],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    scripts = [server]
    try:
        if joined:
            scripts.append(_start_agents(name, folder, joined))
        _wait_until_open(server, grpc, rest, folder / "serving_logs")
        yield Example(name, folder, grpc, rest, server, exported)
    finally:
        below = [each for script in scripts if script.poll() is None for each in family(script.pid)]
        for script in scripts:
            script.terminate()
        for script in scripts:
            script.wait(SECONDS)
        assert server.stdout is not None
        server.stdout.close()
        assert not alive_after(below)


def _joined(name: str) -> list[str]:
    """Where the agents of a distributed example join its server; nothing for the others."""
    is_distributed = (ROOT / "examples" / name / "serving_agent.py").exists()
    return ["--distributed-address", f"127.0.0.1:{free_port()}"] if is_distributed else []


def _start_agents(name: str, folder: Path, joined: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(*_command(name, "serving_agent.py"), *joined),
            *("--agent-start-port", str(ports_in_a_row(8))),
        ],
        cwd=folder,
        text=True,
    )


def printed(name: str) -> str:
    """What the README says that the client prints."""
    _, _, block = _blocks(name)[1].partition("\n")
    return block


def family(pid: int) -> list[psutil.Process]:
    """A process and everything below it."""
    return [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]


def _blocks(name: str) -> list[str]:
    text = (ROOT / "examples" / name / "README.md").read_text()
    return re.findall(r"^```(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _command(name: str, part: str) -> list[str]:
    """The command of the README that runs a script with ``part`` in its path."""
    (line,) = (each for each in _blocks(name)[0].splitlines() if f"{name}/{part}" in each)
    program, *arguments = shlex.split(line, comments=True)
    assert program == "python"
    return [sys.executable, *arguments]


def _run(folder: Path, command: list[str]) -> str:
    done = subprocess.run(
        command, cwd=folder, timeout=SECONDS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _wait_until_open(server: subprocess.Popen[str], grpc: str, rest: str, logs: Path) -> None:
    """Read what the server says until both doors are open; fail with its logs if they never are."""
    expected = [
        f"Serving: Serving gRPC server start success, listening on {grpc}\n",
        f"Serving: Serving RESTful server start success, listening on {rest}\n",
    ]
    said = []
    assert server.stdout is not None
    for line in server.stdout:
        if not line.startswith(_PROGRESS):
            said.append(line)
        if said == expected:
            return
    raise AssertionError("".join(said + [path.read_text() for path in logs.glob("*.log")]))
