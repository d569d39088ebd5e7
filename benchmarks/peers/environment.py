"""An environment of its own for each server, below ``.bench``."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, or our own when nothing has to be installed."""

    folder: Path
    own: bool

    @property
    def python(self) -> str:
        return sys.executable if self.own else str(self.folder / "bin" / "python")

    @property
    def packages(self) -> Path:
        """Where its packages lie."""
        return next(self.folder.glob("lib/python3*/site-packages"))

    def program(self, name: str) -> str:
        """A command that a package brought along."""
        return str(self.folder / "bin" / name)

    def is_installed(self, requirements: Sequence[str]) -> bool:
        marker = self.folder / ".installed"
        return self.own or (marker.exists() and marker.read_text().split("\n") == [*requirements])

    def install(self, requirements: Sequence[str]) -> None:
        """Install from wherever pip is told to look; say it was done with ``confirm``."""
        subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        subprocess.run(
            [self.python, "-m", "pip", "install", "-qq", "--disable-pip-version-check",
             *requirements], check=True,
        )  # fmt: skip

    def confirm(self, requirements: Sequence[str]) -> None:
        (self.folder / ".installed").write_text("\n".join(requirements))

    def version_of(self, package: str) -> str:
        """The installed version of a package."""
        code = f"import importlib.metadata as m; print(m.version({package!r}))"
        asked = subprocess.run(
            [self.python, "-c", code], check=True, capture_output=True, text=True
        )
        return asked.stdout.strip()
