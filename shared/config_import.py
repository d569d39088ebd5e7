"""Imports ``NAME/servable_config.py``, afresh each time, as ``NAME.servable_config``.

The package NAME is made from exactly ``directory/NAME``, with or without an
``__init__.py``, whatever else of that name lies on ``sys.path``; what lies beside
the config is ``NAME.helper`` and so never mistaken for another servable's helper.
``directory`` is appended to ``sys.path`` and stays there: a stage function may import
at run time, and a servable never hides the standard library or what is installed.
"""

import importlib
import keyword
import re
import sys
import threading
import traceback
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
)
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType

from shared.errors import LoadFailed, text_of

_CONFIG = "servable_config"
_FOLDERS_OF_A_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s'\"():]+/)*(?=[\w.])")

# sys.path and sys.modules belong to the process. A config may load another servable.
_importing = threading.RLock()
_directories: set[Path] = set()


class _SourceLoader(SourceFileLoader):
    """Compiles what the file says now; neither trusts nor leaves bytecode beside it."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


def import_config(directory: Path, name: str) -> None:
    """Import ``directory/name/servable_config.py``; raises LoadFailed with the cause."""
    if not name.isidentifier() or keyword.iskeyword(name):
        raise LoadFailed(f"Servable name {name!r} is not a valid Python package name")
    directory = directory.absolute()
    module = f"{name}.{_CONFIG}"
    if not (directory / name / f"{_CONFIG}.py").is_file():
        raise LoadFailed(f"import {module} failed, servable '{name}' has no {_CONFIG}.py")
    with _importing:
        _directories.add(directory.resolve())
        if str(directory) not in sys.path:
            sys.path.append(str(directory))
        if _is_taken(name):
            raise LoadFailed(
                f"import {module} failed, '{name}' is the name of another Python module that can"
                " be imported here; rename the servable"
            )
        before = _forget(name)
        try:
            _make_package(directory / name)
            importlib.import_module(module)
        except (Exception, SystemExit) as failure:
            _forget(name)
            sys.modules.update(before)
            cause = _describe(failure, directory / name)
            raise LoadFailed(f"import {module} failed, {cause}") from failure


def _is_taken(name: str) -> bool:
    """Whether ``name`` means a module that is no servable: json, numpy, ..."""
    if name in sys.modules:
        return not any(map(_is_servable, getattr(sys.modules[name], "__path__", ())))
    spec = find_spec(name)
    if spec is None or spec.origin is None:  # nothing, or a folder without code
        return False
    return not _is_servable(str(Path(spec.origin).parent))


def _is_servable(folder: str) -> bool:
    return Path(folder).parent.resolve() in _directories


def _forget(name: str) -> dict[str, ModuleType]:
    """Take the package ``name`` and all its modules out of ``sys.modules``."""
    known = [each for each in sys.modules if each == name or each.startswith(f"{name}.")]
    return {each: sys.modules.pop(each) for each in known}


def _make_package(folder: Path) -> None:
    """Put the package that ``folder`` is into ``sys.modules``."""
    sys.path_importer_cache[str(folder)] = FileFinder(
        str(folder), (ExtensionFileLoader, EXTENSION_SUFFIXES), (_SourceLoader, SOURCE_SUFFIXES)
    )
    name, code = folder.name, folder / "__init__.py"
    if code.is_file():
        loader = _SourceLoader(name, str(code))
        spec = spec_from_loader(name, loader, is_package=True)
    else:
        spec = ModuleSpec(name, None, is_package=True)
    assert spec is not None
    spec.submodule_search_locations = [str(folder)]
    package = module_from_spec(spec)
    sys.modules[name] = package
    if spec.loader is not None:
        spec.loader.exec_module(package)


def _describe(failure: BaseException, folder: Path) -> str:
    """What failed and where in the servable, without the folders of any path."""
    text = f"{type(failure).__name__}: {text_of(failure)}".replace(f"{folder.parent}/", "")
    text = _FOLDERS_OF_A_PATH.sub("", text)
    for frame in reversed(traceback.extract_tb(failure.__traceback__)):
        file = Path(frame.filename)
        if file.is_relative_to(folder):
            return f"{text} ({file.relative_to(folder)}, line {frame.lineno})"
    return text
