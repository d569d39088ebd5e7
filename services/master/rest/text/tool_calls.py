"""(pure) Finds calls of tools in what a model wrote.

The form that most models are trained on: ``{"name": ..., "arguments": {...}}`` (some say
``parameters``), one or a list of them, bare, fenced, or between ``<tool_call>`` marks.
"""

import json
from typing import Any, NamedTuple

_MARK, _END_MARK = "<tool_call>", "</tool_call>"
_OPENINGS = (_MARK, "```json", "```", "{", "[")
_decoder = json.JSONDecoder()


class ToolCall(NamedTuple):
    """One call."""

    name: str
    arguments: str
    """An object, as JSON."""


class ToolCallReader:
    """Splits a text that comes in pieces into what is said and what is called.

    What may be a call is held back to the end, and told as text when it is none.
    """

    def __init__(self) -> None:
        self._held = ""
        self._is_held = False
        self._begun = False

    def feed(self, text: str) -> str:
        """What can be told already."""
        self._held += text
        if self._is_held:
            return ""
        if not self._begun:
            opening = self._held.lstrip()
            if any(opening.startswith(each) for each in _OPENINGS):
                self._is_held = True
                return ""
            if not opening or any(each.startswith(opening) for each in _OPENINGS):
                return ""
            self._begun = True
        at = self._held.find(_MARK)
        if at >= 0:
            self._is_held = True
        else:
            at = len(self._held) - _overlap(self._held, _MARK)
        told, self._held = self._held[:at], self._held[at:]
        return told

    def end(self) -> tuple[str, list[ToolCall]]:
        """The rest of the text, and the calls."""
        calls = find_calls(self._held)
        return ("", calls) if calls else (self._held, [])


def find_calls(text: str) -> list[ToolCall]:
    """The calls in a text; none if it is something else."""
    found: list[ToolCall] = []
    if _MARK in text:
        for part in text.split(_MARK)[1:]:
            found += _read(part.partition(_END_MARK)[0])
        return found
    return _read(text)


def _read(text: str) -> list[ToolCall]:
    """One JSON value, or several one after another."""
    text = text.strip()
    if text.startswith("```"):
        text = text.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
    found: list[ToolCall] = []
    while text:
        try:
            value, end = _decoder.raw_decode(text)
        except (ValueError, RecursionError):
            return []
        calls = [_call(each) for each in (value if isinstance(value, list) else [value])]
        if not calls or None in calls:
            return []
        found += [call for call in calls if call is not None]
        text = text[end:].lstrip(" \t\r\n;,")
    return found


def _call(value: Any) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name, arguments = value.get("name"), value.get("arguments", value.get("parameters"))
    if not isinstance(name, str) or not name:
        return None
    if isinstance(arguments, str):
        return ToolCall(name, arguments)
    if not isinstance(arguments, dict):
        return None
    return ToolCall(name, json.dumps(arguments, ensure_ascii=False))


def _overlap(text: str, mark: str) -> int:
    """How much of the end of a text may be the beginning of a mark."""
    return next((n for n in range(len(mark) - 1, 0, -1) if text.endswith(mark[:n])), 0)
