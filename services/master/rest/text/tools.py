"""(pure) Tools that a chat may call: which, and whether it must."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from services.master.rest.text.fields import Fields
from shared.text_generation import Grammar

_ANYTHING = {"type": "object"}


class Tools(NamedTuple):
    """What a chat's template is told, and what its answer must be."""

    as_json: str = ""
    grammar: Grammar | None = None
    may_call: bool = False
    only_one: bool = False


def read_tools(fields: Fields) -> Tools:
    """``tools``, ``tool_choice`` and ``parallel_tool_calls``."""
    tools = fields.objects("tools")
    choice = fields.raw("tool_choice")
    if not tools:
        if choice not in (None, "none", "auto"):
            raise fields.fault("tool_choice", "none without tools")
        return Tools()
    functions = [_function(each, fields) for each in tools]
    only_one = not fields.flag("parallel_tool_calls", default=True)
    as_json = fields.as_json("tools", tools)
    match choice:
        case "none":
            return Tools()
        case None | "auto":
            return Tools(as_json, None, may_call=True, only_one=only_one)
        case "required":
            chosen = functions
        case {"type": "function", "function": {"name": str(name)}}:
            chosen = [each for each in functions if each["name"] == name]
        case _:
            chosen = []
    if not chosen:
        raise fields.fault("tool_choice", "none, auto, required, or one of the tools")
    return Tools(as_json, _one_of(chosen, fields), may_call=True, only_one=only_one)


def _function(tool: Mapping[str, Any], fields: Fields) -> Mapping[str, Any]:
    function = tool.get("function")
    if (
        tool.get("type", "function") != "function"
        or not isinstance(function, dict)
        or not isinstance(function.get("name"), str)
        or not isinstance(function.get("parameters") or {}, dict)
    ):
        raise fields.fault("tools", "functions, each with a name and the schema of its parameters")
    return function


def _one_of(functions: Sequence[Mapping[str, Any]], fields: Fields) -> Grammar:
    """A call of one of them and nothing else."""
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": each["name"]},
                "arguments": each.get("parameters") or _ANYTHING,
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for each in functions
    ]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return Grammar("json_schema", fields.as_json("tools", schema))
