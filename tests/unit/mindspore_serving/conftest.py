"""Scripts whose folder a test fills."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def script_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the started script: what relative paths are taken from."""
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "script.py")])
    return tmp_path
