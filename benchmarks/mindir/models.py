"""Has the models exported once, and MindSpore installed once, for whichever server is asked."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peers.environment import ROOT, Environment
from benchmarks.works import Work

MINDSPORE = Environment(ROOT / ".bench" / "mindspore", own=False)
"""Its packages are put before those of a server that has none, so all run the same copy."""
REQUIREMENTS = ("mindspore==2.10.0", "numpy>=1.26,<2")
FOLDER = ROOT / ".bench" / "models"
SETTINGS = {"ONEDNN_MAX_CPU_ISA": "AVX2", "GLOG_v": "3"}
"""For every server alike; without the first, convolutions are 100 times slower."""


def with_answer(work: Work, say: Callable[[str], None]) -> Work:
    """A work that knows its model's right answer; raises CalledProcessError."""
    if not work.model:
        return work
    if not MINDSPORE.is_installed(REQUIREMENTS):
        say(f"installing {' '.join(REQUIREMENTS)} (about 1 GB) ...")
        MINDSPORE.install(REQUIREMENTS)
        MINDSPORE.confirm(REQUIREMENTS)
    answer = FOLDER / f"{work.model}.npy"
    if not answer.exists():
        say("exporting models ...")
        FOLDER.mkdir(exist_ok=True)
        command = [MINDSPORE.python, "-m", "benchmarks.mindir.export", str(FOLDER)]
        subprocess.run(command, check=True, cwd=ROOT, env={**os.environ, **SETTINGS})
    return replace(work, known_answer=np.load(answer).tobytes())


def file_of(work: Work) -> Path:
    """The MINDIR file of a work's model."""
    return FOLDER / f"{work.model}.mindir"


def environment_for(work: Work) -> dict[str, str]:
    """What a server's processes need in their environment to run the work's model."""
    if not work.model:
        return {}
    return {"BENCH_MODEL": str(file_of(work)), **SETTINGS}
