"""Reads what lies beside a language model: tokenizer, chat template, which tokens end a text."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.worker.language.template import ChatTemplate
from services.worker.language.tokenizer import Tokenizer
from shared.errors import LoadFailed
from shared.servable import Generation

_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token")


@dataclass(frozen=True, slots=True)
class Language:
    """The text side of a language model, as it was loaded."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    eos_ids: frozenset[int]
    """Tokens that end a text."""
    created: int
    """When its files were made, in seconds since 1970."""


def load_language(declared: Generation, tokenizer: Path, template: Path | None) -> Language:
    """Read the files; use a thread. Raises LoadFailed naming the one that is wrong.

    What is not declared is taken from generation_config.json, tokenizer_config.json and
    chat_template.jinja beside the tokenizer, where they are there.
    """
    read = Tokenizer(tokenizer)
    config = _object(tokenizer.with_name("tokenizer_config.json"))
    special = {name: text for name in _NAMES if (text := _token_text(config.get(name)))}
    source = _template_source(template, tokenizer.with_name("chat_template.jinja"), config)
    return Language(
        read,
        ChatTemplate(source, special) if source else None,
        frozenset(_eos_ids(declared, tokenizer, read, special)),
        int(tokenizer.stat().st_mtime),
    )


def _eos_ids(
    declared: Generation, tokenizer: Path, read: Tokenizer, special: dict[str, str]
) -> tuple[int, ...]:
    if declared.eos_ids is not None:
        return declared.eos_ids
    found = _object(tokenizer.with_name("generation_config.json")).get("eos_token_id")
    if isinstance(found, int):
        return (found,)
    if isinstance(found, list) and all(isinstance(each, int) for each in found):
        return tuple(found)
    number = read.number_of(special["eos_token"]) if "eos_token" in special else None
    return () if number is None else (number,)


def _template_source(declared: Path | None, beside: Path, config: dict[str, Any]) -> str:
    path = declared or (beside if beside.is_file() else None)
    if path is not None:
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as failure:
            raise LoadFailed(f"chat template '{path.name}': {failure}") from failure
    found = config.get("chat_template")
    if isinstance(found, list):
        # Several of them, by name.
        named = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else ""


def _token_text(value: object) -> str:
    """A token is a text, or an object that says more of it."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as failure:
        raise LoadFailed(f"'{path.name}': {failure}") from failure
    if not isinstance(value, dict):
        raise LoadFailed(f"'{path.name}': expected an object")
    return value
