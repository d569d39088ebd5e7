"""(pure) The messages of a chat, as templates read them."""

from collections.abc import Mapping
from typing import Any

import orjson

from services.master.rest.text.fields import Fields
from shared.text_generation import Chat

_MOST_MESSAGES = 10_000


def read_chat(fields: Fields, tools_json: str = "") -> Chat:
    """``messages`` and how the model's template is to be used."""
    messages = fields.objects("messages")
    if not 0 < len(messages) <= _MOST_MESSAGES:
        raise fields.fault("messages", f"from 1 to {_MOST_MESSAGES} messages")
    # A template is a program: those of models are run, and those of requests are not.
    fields.refuse("chat_template")
    continues = fields.flag("continue_final_message")
    answers = fields.flag("add_generation_prompt", default=not continues)
    if continues and answers:
        raise fields.fault("continue_final_message", "false beside add_generation_prompt")
    return Chat(
        fields.as_json("messages", [_message(each, fields) for each in messages]),
        tools_json,
        _arguments(fields),
        continues,
        not answers,
    )


def _arguments(fields: Fields) -> str:
    given: dict[str, Any] = {}
    if fields.object("chat_template_kwargs") is not None:
        given |= fields.raw("chat_template_kwargs")
    if "documents" in fields:
        given["documents"] = fields.objects("documents")
    return fields.as_json("chat_template_kwargs", given) if given else ""


def _message(message: Mapping[str, Any], fields: Fields) -> Mapping[str, Any]:
    """With one text as its content, for templates that know no parts."""
    if not isinstance(message.get("role"), str):
        raise fields.fault("messages", "messages, each with a role")
    if isinstance(message.get("tool_calls"), list):
        message = {**message, "tool_calls": list(map(_tool_call, message["tool_calls"]))}
    content = message.get("content")
    if content is None or isinstance(content, str):
        return message
    if not isinstance(content, list):
        raise fields.fault("messages", "a content that is a text or a list of parts")
    texts = []
    for part in content:
        if not isinstance(part, dict) or not isinstance(part.get("text"), str):
            raise fields.fault("messages", "parts that are texts: others are not supported")
        texts.append(part["text"])
    return {**message, "content": "\n".join(texts)}


def _tool_call(call: Any) -> Any:
    """With its arguments as an object, which is what templates write; clients send its text."""
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    try:
        arguments = orjson.loads(function["arguments"])
    except ValueError:
        return call
    return {**call, "function": {**function, "arguments": arguments}}
