"""User scripts in processes of their own, and the servables they start."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from shared.ports import free_port
from tests.support.reference import reference_model

ROOT = Path(__file__).parents[2]
SECONDS = 90


def write_servable(
    folder: Path,
    config: str,
    *,
    name: str = "add",
    version: int = 1,
    functions: tuple[str, ...] = ("add", "sub"),
    dims: tuple[int, ...] = (2, 2),
) -> None:
    """``FOLDER/NAME`` with toy models of two inputs, and ``config`` as its servable_config.py."""
    (folder / name / str(version)).mkdir(parents=True)
    (folder / name / "servable_config.py").write_text(textwrap.dedent(config))
    for function in functions:
        file = folder / name / str(version) / f"{function}.json"
        file.write_text(reference_model(function, ("x1", "x2"), dims=dims))


def with_ports(script: str) -> str:
    """``script`` with a free port for each of the words PORT, PORT2, PORT3, PORT4."""
    for word in ("PORT4", "PORT3", "PORT2", "PORT"):
        if word in script:
            script = script.replace(word, str(free_port()))
    return textwrap.dedent(script)


def run_script(
    folder: Path,
    script: str,
    *arguments: object,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    name: str = "script.py",
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end."""
    (folder / name).write_text(with_ports(script))
    return subprocess.run(
        [sys.executable, str(folder / name), *map(str, arguments)],
        cwd=cwd or folder,
        env=_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


class RunningScript:
    """A script that goes on; leaving the context ends it, and nothing of it may be left."""

    def __init__(
        self,
        folder: Path,
        script: str,
        *arguments: object,
        environment: Mapping[str, str] | None = None,
        name: str = "script.py",
    ) -> None:
        self._folder = folder
        (folder / name).write_text(with_ports(script))
        self.process = subprocess.Popen(
            [sys.executable, str(folder / name), *map(str, arguments)],
            cwd=folder,
            env=_environment(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []

    def __enter__(self) -> "RunningScript":
        return self

    def __exit__(self, *_: object) -> None:
        below = self.children()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        assert not alive_after(below)

    def children(self) -> list[psutil.Process]:
        """Every process below the script."""
        if self.process.poll() is not None:
            return []
        return psutil.Process(self.process.pid).children(recursive=True)

    def until(self, text: str) -> str:
        """The line that says ``text``; fails when the script ends without it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.rstrip("\n"))
            if text in line:
                return self.said[-1]
        raise AssertionError("\n".join([f"not said: {text}", *self.said, self.logs()]))

    def go_on(self) -> None:
        """Let a script that reads a line from its standard input go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def logs(self) -> str:
        """What its services wrote."""
        return logs_in(self._folder)


def logs_in(folder: Path) -> str:
    """What the services of a script that ran in ``folder`` wrote."""
    files = sorted((folder / "serving_logs").glob("*.log"))
    return "\n".join(f"--- {each.name}\n{each.read_text()[-3000:]}" for each in files)


def wait_until(
    condition: Callable[[], object],
    *,
    seconds: float = SECONDS,
    every: float = 0.1,
    what: str | Callable[[], str],
) -> None:
    """Poll ``condition`` until it holds; fail at the deadline. See also ``cluster.until``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(
                f"waited {seconds} s in vain for {what() if callable(what) else what}"
            )
        time.sleep(every)


def alive_after(processes: list[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    """Those of ``processes`` that are still there at the deadline."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MINDSERVE_", "GLOG_"))}
    return inherited | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(more or {})
