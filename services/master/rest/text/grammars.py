"""(pure) What an answer must be, from the fields that say so."""

import re
from typing import Any

import orjson

from services.master.rest.text.fields import Fields
from shared.text_generation import Grammar

_LONGEST_SOURCE = 64 << 10
_LONGEST_REGEX = 8 << 10
_MOST_CHOICES = 1000


def read_grammar(fields: Fields) -> Grammar | None:
    """The ``response_format`` of OpenAI's dialect, or vLLM's ``structured_outputs``."""
    structured, response = fields.object("structured_outputs"), fields.object("response_format")
    if structured is not None:
        if response is not None and response.raw("type") != "text":
            raise fields.fault("structured_outputs", "none beside response_format")
        return _structured(structured)
    return None if response is None else _response(response)


def _response(fields: Fields) -> Grammar | None:
    match fields.raw("type"):
        case "text":
            return None
        case "json_object":
            return Grammar("any_json")
        case "json_schema":
            named = fields.object("json_schema")
            schema = None if named is None else named.object("schema")
            if named is None or schema is None:
                raise fields.fault("json_schema", "an object with a schema")
            return json_schema(named, "schema")
        case _:
            raise fields.fault("type", "text, json_object or json_schema")


def _structured(fields: Fields) -> Grammar | None:
    fields.refuse("grammar", "structural_tag")
    given = [name for name in ("json", "regex", "choice", "json_object") if name in fields]
    if len(given) != 1:
        raise fields.fault("json", "one of json, regex, choice and json_object")
    match given[0]:
        case "json":
            return json_schema(fields, "json")
        case "regex":
            return regex(fields, "regex")
        case "choice":
            texts = fields.texts("choice", _MOST_CHOICES)
            if not texts:
                raise fields.fault("choice", "a list of texts")
            return Grammar("choices", texts=texts)
        case _:
            return Grammar("any_json") if fields.flag("json_object") else None


def json_schema(fields: Fields, name: str) -> Grammar:
    """A schema, as an object or as its text."""
    schema = fields.raw(name)
    try:
        value: Any = orjson.loads(schema) if isinstance(schema, str) else schema
    except ValueError:
        raise fields.fault(name, "a JSON schema") from None
    if not isinstance(value, dict | bool):
        raise fields.fault(name, "a JSON schema")
    source = fields.as_json(name, value)
    if len(source) > _LONGEST_SOURCE:
        raise fields.fault(name, f"a JSON schema of at most {_LONGEST_SOURCE} bytes")
    return Grammar("json_schema", source)


def regex(fields: Fields, name: str) -> Grammar:
    """A regular expression."""
    source = fields.text(name)
    if not 0 < len(source) <= _LONGEST_REGEX:
        raise fields.fault(name, f"a regular expression of at most {_LONGEST_REGEX} characters")
    try:
        re.compile(source)
    except (re.error, RecursionError):
        raise fields.fault(name, "a regular expression") from None
    return Grammar("regex", source)
