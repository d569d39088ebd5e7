"""The graphs without a server around them: exported, and asked for their own times."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bare_process import BareProcess, bare_process
from benchmarks.mindir.models import SETTINGS
from benchmarks.peers.environment import ROOT
from benchmarks.seed_graphs.sizes import Sizes

_ENVIRONMENT = {**os.environ, **SETTINGS, "PYTHONPATH": str(ROOT)}


def export(folder: Path, sizes: Sizes) -> None:
    """Write the three graphs into a folder; raises CalledProcessError."""
    subprocess.run(_command("export", folder, sizes), check=True, env=_ENVIRONMENT)


class BareGraphs:
    """A process that calls them."""

    def __init__(self, process: BareProcess) -> None:
        self._process = process

    def ms(self, graph: str, rows: int, count: int) -> float:
        """Milliseconds of one call, as the mean of so many; raises ServerDied."""
        return 1e3 * self._process.seconds(graph, rows, count) / count


@contextmanager
def bare_graphs(folder: Path, sizes: Sizes) -> Iterator[BareGraphs]:
    """The graphs in ``folder``, loaded, while inside."""
    with bare_process(_command("bare", folder, sizes), _ENVIRONMENT) as process:
        yield BareGraphs(process)


def _command(script: str, folder: Path, sizes: Sizes) -> list[str]:
    module = f"benchmarks.seed_graphs.{script}"
    return [sys.executable, "-m", module, str(folder), str(sizes.words), str(sizes.width)]
