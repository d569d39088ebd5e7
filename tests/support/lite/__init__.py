"""A stand-in for MindSpore Lite, for processes that are started with it on their path."""

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent


def install(environment: pytest.MonkeyPatch) -> None:
    """Let processes that are started from now on import ``mindspore_lite``."""
    environment.setenv("PYTHONPATH", str(FOLDER), prepend=os.pathsep)
