"""Servables written for one test."""

import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from shared.declaration import load_servable
from shared.servable import Servable


class ServableDirectory:
    """A directory in which a test writes servables."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, file: str, text: str) -> None:
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("from mindspore_serving.server import register\n" + dedent(text))

    def load(self, name: str) -> Servable:
        return load_servable(self.path, name)

    def declare(self, text: str, name: str = "add") -> Servable:
        self.write(f"{name}/servable_config.py", text)
        return self.load(name)


@pytest.fixture
def servables(tmp_path: Path) -> Iterator[ServableDirectory]:
    path = list(sys.path)
    yield ServableDirectory(tmp_path / "my servables")
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        places = (getattr(module, "__file__", None), *getattr(module, "__path__", ()))
        if any(str(place).startswith(str(tmp_path)) for place in places):
            del sys.modules[name]
