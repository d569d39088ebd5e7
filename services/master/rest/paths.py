"""(pure) Which servable, version and method a URL names.

``/model/NAME[/version/N]:METHOD``, or ``/version/N/model/NAME:METHOD``; ``/label/LABEL`` in the
place of a version names one by its label. The words of each
fault are the original's, followed by what was expected and what came.
"""

import re
from functools import lru_cache
from urllib.parse import unquote

from services.master.spec import Spec
from shared.errors import InvalidRequest, NotServed

_SHAPE = "/model/NAME[/version/N]:METHOD"
_KEYWORDS = {"model", "version", "label"}
_LARGEST_VERSION = 2**32 - 2
_NUMBER = re.compile(r"-?[0-9]+")
_LONGEST_QUOTE = 200
# What is longer is not worth keeping, and is refused.
_LONGEST_PATH = 4096


@lru_cache(1024)
def read_call(path: str) -> Spec:
    """The spec of a ``POST``, from a path as it came (percent-encoded, without the query).

    Raises InvalidRequest, or NotServed for a path that names no model at all.
    """
    names, colon, method = path.partition(":")
    spec = _read_names(names, path)
    if not colon or not method:
        raise _fault("the keyword:[service method] must contain.", path)
    return spec._replace(method=_text(method, path))


@lru_cache(1024)
def read_servable(path: str) -> Spec:
    """The spec, without a method, of a ``GET`` for what is known of a servable.

    Raises InvalidRequest, or NotServed for a path that names no model at all.
    """
    names, colon, _ = path.partition(":")
    if colon:
        raise _fault("a GET names no method;", path)
    spec = _read_names(names, path)
    if spec.label:
        raise _fault("a GET names no label;", path)
    return spec


def _read_names(names: str, path: str) -> Spec:
    if len(path) > _LONGEST_PATH:
        raise _fault(f"it is longer than {_LONGEST_PATH} bytes;", path)
    parts = names.split("/")[1:]
    named = dict(zip(parts[::2], parts[1::2], strict=False))
    if not named.get("model"):
        text = _fault("the keyword:[model] must contain.", path).message
        raise InvalidRequest(text) if "model" in parts else NotServed(text)
    if len(parts) % 2 or len(named) * 2 != len(parts) or named.keys() - _KEYWORDS:
        raise _fault("it holds more than servable and version;", path)
    version, label = named.get("version"), named.get("label")
    if version is not None and label is not None:
        raise _fault("it names a version and a label;", path)
    if label == "":
        raise _fault("the keyword:[label] must not be empty,", path)
    return Spec(_text(named["model"], path), "", _version(version, path), _text(label or "", path))


def _version(text: str | None, path: str) -> int:
    if text is None:
        return 0
    if not _NUMBER.fullmatch(text):
        raise _fault("the keyword:[version] value invalid,", path)
    # A number of more digits need not be read to be out of range.
    version = int(text) if len(text) <= len(str(_LARGEST_VERSION)) else -1
    if not 0 <= version <= _LARGEST_VERSION:
        raise _fault("version number range failed,", path)
    return version


def _text(part: str, path: str) -> str:
    try:
        return unquote(part, errors="strict")
    except UnicodeDecodeError:
        raise _fault("it is not UTF-8;", path) from None


def _fault(what: str, path: str) -> InvalidRequest:
    shown = path if len(path) <= _LONGEST_QUOTE else f"{path[:_LONGEST_QUOTE]}..."
    return InvalidRequest(f"please check url, {what} expected {_SHAPE}, got '{shown}'")
