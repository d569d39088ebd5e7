"""Calls of tools in what models write, however the text is cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.master.rest.text.tool_calls import ToolCall, ToolCallReader, find_calls

CALL = '{"name": "f", "arguments": {"a": 1}}'
FOUND = ToolCall("f", '{"a": 1}')


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (CALL, [FOUND]), (f"[{CALL}, {CALL}]", [FOUND] * 2), (f"{CALL}\n{CALL}", [FOUND] * 2),
        (f"{CALL}; {CALL}", [FOUND] * 2), (f"```json\n{CALL}\n```", [FOUND]),
        ('{"name": "f", "parameters": {"a": 1}}', [FOUND]),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', [FOUND]),
        ('{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}', [FOUND]),
        (f"<tool_call>\n{CALL}\n</tool_call>", [FOUND]), (f"<tool_call>{CALL}", [FOUND]),
        ("{}", []), ("[]", []), ('{"name": "f"}', []), ('{"name": "f", "arguments": 5}', []),
        (f"{CALL} and more", []), (CALL[:-1], []), ("[" * 5000, []), ("", []), ("hello", []),
        ('{"name": "", "arguments": {}}', []),
    ],
)  # fmt: skip
def test_the_forms_that_models_write(text, calls):
    assert find_calls(text) == calls


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        (CALL, "", [FOUND]), (f"  {CALL}", "", [FOUND]), ("Hello!", "Hello!", []),
        (f"Well: <tool_call>{CALL}</tool_call>", "Well: ", [FOUND]),
        ("a <tool_ is no mark", "a <tool_ is no mark", []), ("{ no JSON", "{ no JSON", []),
        ("a < b", "a < b", []), ("<tool_call>nothing", "<tool_call>nothing", []), ("", "", []),
        ("   ", "   ", []), ("`code`", "`code`", []),
    ],
)  # fmt: skip
@settings(deadline=None)
@given(st.data())
def test_however_a_text_is_cut_the_same_is_said_and_called(text, said, calls, data):
    reader, told, at = ToolCallReader(), "", 0
    while at < len(text):
        size = data.draw(st.integers(1, len(text) - at))
        told += reader.feed(text[at : at + size])
        at += size
    rest, found = reader.end()
    assert (told + rest, found) == (said, calls)


def test_what_cannot_be_a_call_is_told_at_once():
    reader = ToolCallReader()
    assert reader.feed("Hello") == "Hello"
    assert reader.feed(" <to") == " "
    assert reader.feed("day") == "<today"
