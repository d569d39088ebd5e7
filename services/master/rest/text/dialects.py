"""(pure) Which path speaks which dialect, and how each says that something failed."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import unquote

from services.master.rest.statuses import status_of
from services.master.rest.text import (
    openai_chat,
    openai_completions,
    openai_errors,
    original,
    tgi,
)
from services.master.rest.text.answer import Asked, Caller
from shared.errors import ServingError

Read = Callable[[Mapping[str, Any], Caller], Asked]


class Dialect(NamedTuple):
    """How failures are told."""

    write_failure: Callable[[ServingError], dict[str, Any]]
    status_of: Callable[[ServingError], int]
    says_done: bool = False


OPENAI = Dialect(openai_errors.write_failure, status_of, says_done=True)
TGI = Dialect(tgi.write_failure, tgi.status)
ORIGINAL = Dialect(original.write_failure, status_of)


class Call(NamedTuple):
    """What a POST asks for, by its path."""

    dialect: Dialect
    read: Read
    model: str = ""


_CALLS = {
    "/v1/completions": Call(OPENAI, openai_completions.read),
    "/v1/chat/completions": Call(OPENAI, openai_chat.read),
    "/": Call(TGI, tgi.read_root),
    "/generate": Call(TGI, tgi.read_generate),
    "/generate_stream": Call(TGI, tgi.read_generate_stream),
}
TOKENIZE, DETOKENIZE = "/tokenize", "/detokenize"
_HEALTH = {"/health", "/ping", "/"}
_PAGES = {"/v1/models", "/info", "/version", "/load", *_HEALTH}
_OTHER_POSTS = {TOKENIZE, DETOKENIZE, "/ping"}
_MODELS, _MODEL, _SERVING = "/models/", "/v1/models/", "/serving/"
_ORIGINAL: dict[str, bool | None] = {"": None, "generate": False, "generate_stream": True}


def takes(path: str) -> bool:
    """Whether a path is about language models, whatever the HTTP method."""
    return (
        path in _CALLS
        or path in _PAGES
        or path in _OTHER_POSTS
        or path.startswith((_MODELS, _MODEL, _SERVING))
    )


def is_health(path: str) -> bool:
    """Whether a path asks for health, which nobody needs a key for."""
    return path in _HEALTH


def takes_post(path: str) -> bool:
    """Whether a path can be POSTed to."""
    return path in _CALLS or path in _OTHER_POSTS or path.startswith(_MODELS)


def takes_get(path: str) -> bool:
    """Whether a path can be read."""
    return path in _PAGES or path.startswith((_MODEL, _SERVING))


def dialect_of(path: str) -> Dialect:
    """How failures are told there."""
    if path in _CALLS:
        return _CALLS[path].dialect
    if path.startswith((_MODELS, _SERVING)):
        return ORIGINAL
    return TGI if path == "/info" else OPENAI


def call_of(path: str) -> Call | None:
    """What a POST to a path asks for; None for nothing."""
    if path.startswith(_MODELS):
        name, _, action = path.removeprefix(_MODELS).partition("/")
        if not name or action not in _ORIGINAL:
            return None
        read = partial(original.read, streams=_ORIGINAL[action])
        return Call(ORIGINAL, read, unquote(name))
    return _CALLS.get(path)


def model_of(path: str) -> str:
    """The model of ``/v1/models/MODEL``; empty for another path."""
    return unquote(path.removeprefix(_MODEL)) if path.startswith(_MODEL) else ""


def serving_of(path: str) -> str:
    """The name of ``/serving/NAME``; empty for another path."""
    return path.removeprefix(_SERVING) if path.startswith(_SERVING) else ""
