"""The graphs without a server around them: exported, and asked for their own times."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.mindir.models import SETTINGS
from benchmarks.peers.environment import ROOT
from benchmarks.processes import ServerDied
from benchmarks.seed_graphs.sizes import Sizes

_ENVIRONMENT = {**os.environ, **SETTINGS, "PYTHONPATH": str(ROOT)}


def export(folder: Path, sizes: Sizes) -> None:
    """Write the three graphs into a folder; raises CalledProcessError."""
    subprocess.run(_command("export", folder, sizes), check=True, env=_ENVIRONMENT)


class BareGraphs:
    """A process that calls them."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin, self._stdout = stdin, stdout
        self._line()

    def ms(self, graph: str, rows: int, count: int) -> float:
        """Milliseconds of one call, as the mean of so many; raises ServerDied."""
        self._stdin.write(f"{graph} {rows} {count}\n")
        self._stdin.flush()
        return 1e3 * float(self._line()) / count

    def _line(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise ServerDied("the process that calls the graphs has ended")
        return line


@contextmanager
def bare_graphs(folder: Path, sizes: Sizes) -> Iterator[BareGraphs]:
    """The graphs in ``folder``, loaded, while inside."""
    with subprocess.Popen(
        _command("bare", folder, sizes), text=True, env=_ENVIRONMENT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield BareGraphs(process.stdin, process.stdout)
        finally:
            process.kill()


def _command(script: str, folder: Path, sizes: Sizes) -> list[str]:
    module = f"benchmarks.seed_graphs.{script}"
    return [sys.executable, "-m", module, str(folder), str(sizes.words), str(sizes.width)]
