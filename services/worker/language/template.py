"""Chat templates: what makes a prompt of messages, as models' own Jinja templates say."""

import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from shared.errors import InvalidRequest, LoadFailed
from shared.text_generation import Chat

_LONGEST_REASON = 300
# Where the last message is to be gone on with: templates write it, and what follows is cut off.
_MARK = "\ue000continue\ue000"


class ChatTemplate:
    """One template, compiled; it sees what a request gives it and nothing else."""

    def __init__(self, source: str, special: Mapping[str, str]) -> None:
        """``special``: tokens that templates call by name, as ``bos_token``.

        Raises LoadFailed for what is no template.
        """
        try:
            from jinja2 import TemplateSyntaxError  # noqa: PLC0415 (language models alone)
            from jinja2.ext import loopcontrols  # noqa: PLC0415
            from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415
        except ImportError as failure:
            raise LoadFailed(
                "jinja2 is not installed here: pip install mindserve[generation]"
            ) from failure
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source)
        except TemplateSyntaxError as failure:
            raise LoadFailed(f"chat template, line {failure.lineno}: {failure.message}") from None
        self._special = dict(special)

    async def render(self, chat: Chat) -> str:
        """The prompt of a chat; raises InvalidRequest with what the template says against it."""
        # A template may take its time over many messages.
        return await asyncio.to_thread(self._render, chat)

    def _render(self, chat: Chat) -> str:
        messages = _read("messages", chat.messages_json, list)
        for place, message in enumerate(messages):
            if not isinstance(message, dict):
                got = type(message).__name__
                raise InvalidRequest(f"messages[{place}]: expected an object, got {got}")
        tools = _read("tools", chat.tools_json, list) if chat.tools_json else None
        given = chat.template_arguments_json
        arguments = _read("template arguments", given, dict) if given else {}
        last = self._mark_last(messages) if chat.continue_last else ""
        begins = not (chat.no_answer or chat.continue_last)
        told = self._special | arguments
        told |= {"messages": messages, "tools": tools, "add_generation_prompt": begins}
        try:
            prompt = self._template.render(told)
        except InvalidRequest:
            raise
        except Exception as failure:
            # What templates do with messages that they do not expect is theirs.
            reason = f"{type(failure).__name__}: {failure}"[:_LONGEST_REASON]
            raise InvalidRequest(f"chat: its template does not take it: {reason}") from None
        if chat.continue_last:
            before, mark, _ = prompt.rpartition(_MARK)
            if not mark:
                raise InvalidRequest("chat: its template leaves out the last message")
            # Templates may trim what they are given.
            return before if before.endswith(last) else before.rstrip() + last[len(last.rstrip()) :]
        return prompt

    def _mark_last(self, messages: list[Any]) -> str:
        content = messages[-1].get("content") if messages else None
        if not isinstance(content, str):
            raise InvalidRequest("messages: expected a text in the last one, to go on with")
        messages[-1] = messages[-1] | {"content": content + _MARK}
        return content


def _read(what: str, text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as failure:
        raise InvalidRequest(f"{what}: not JSON: {str(failure)[:_LONGEST_REASON]}") from None
    if not isinstance(value, kind):
        expected = "a list" if kind is list else "an object"
        raise InvalidRequest(f"{what}: expected {expected}, got {type(value).__name__}")
    return value


def _to_json(value: Any, indent: int | None = None, **more: Any) -> str:
    """Jinja's own writes for HTML; models were trained on plain JSON."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **more)


def _refuse(message: object) -> NoReturn:
    raise InvalidRequest(f"chat: {str(message)[:_LONGEST_REASON]}")


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 (templates tell the model its local day)
