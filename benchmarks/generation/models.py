"""The example's graphs and texts: exported once below ``.bench``, and a bare loop's process."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bare_process import BareProcess, bare_process
from benchmarks.generation.shapes import DECODE, NEW_TOKENS, PREFILL, PROMPT_TOKENS, Text
from benchmarks.mindir.models import FOLDER, SETTINGS
from benchmarks.peers.environment import ROOT

EXAMPLE = ROOT / "examples" / "llm"
_ENVIRONMENT = {**os.environ, **SETTINGS, "PYTHONPATH": str(ROOT)}


def prepared(say: Callable[[str], None]) -> Path:
    """The folder with graphs and texts of the example as it is now; raises CalledProcessError."""
    sources = [*sorted(EXAMPLE.glob("*.py")), EXAMPLE / "weights.npz", EXAMPLE / "tokenizer.json"]
    wanted = [*PREFILL, *DECODE, (PROMPT_TOKENS, NEW_TOKENS)]
    content = b"".join(each.read_bytes() for each in sources) + repr(wanted).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    folder = FOLDER / f"llm-{digest}"
    if not (folder / "texts.json").exists():
        say("exporting the example's graphs, and finding texts (two minutes or so) ...")
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.generation.export", str(folder)]
        subprocess.run(command, check=True, env=_ENVIRONMENT, cwd=ROOT, stdout=subprocess.DEVNULL)
    return folder


def texts_in(folder: Path) -> list[Text]:
    """Prompts and their continuations."""
    return [Text(*each) for each in json.loads((folder / "texts.json").read_text())]


class BareLoop:
    """A process that calls the graphs."""

    def __init__(self, process: BareProcess) -> None:
        self._process = process

    def step_ms(self, rows: int, count: int) -> float:
        """Milliseconds of a decode step, as the mean of so many; raises ServerDied."""
        return 1e3 * self._process.seconds("steps", rows, count) / count

    def texts_seconds(self, rows: int, count: int) -> float:
        """Seconds for so many texts, prompts included; raises ServerDied."""
        return self._process.seconds("texts", rows, count)


@contextmanager
def bare_loop(folder: Path) -> Iterator[BareLoop]:
    """The graphs in ``folder``, compiled, while inside."""
    command = [sys.executable, "-m", "benchmarks.generation.bare", str(folder)]
    with bare_process(command, _ENVIRONMENT) as process:
        yield BareLoop(process)
