"""(pure) ``/tokenize`` and ``/detokenize``: vLLM's bodies and TGI's, told apart."""

from collections.abc import Mapping
from typing import Any

from services.master.rest.text.answer import Caller
from services.master.rest.text.fields import Fields
from services.master.rest.text.messages import read_chat
from services.master.rest.text.tools import read_tools
from shared.text_generation import Chat, DetokenizeRequest, TokenizeRequest, Tokens


def is_tgi(body: Mapping[str, Any]) -> bool:
    """TGI's clients say ``inputs``, vLLM's ``prompt`` or ``messages``."""
    return "inputs" in body


def read_tokenize(body: Mapping[str, Any], caller: Caller) -> TokenizeRequest:
    """A body of either; raises InvalidField."""
    fields = Fields(body)
    prompt: str | Chat
    if is_tgi(body):
        prompt = _required(fields, "inputs")
    elif "messages" in fields:
        prompt = read_chat(fields, read_tools(fields).as_json)
    else:
        prompt = _required(fields, "prompt")
    special = fields.optional_flag("add_special_tokens")
    return TokenizeRequest(fields.text("model") or caller.model, prompt, add_special_tokens=special)


def _required(fields: Fields, name: str) -> str:
    if name not in fields:
        raise fields.fault(name, "a text")
    return fields.text(name)


def write_tokens(body: Mapping[str, Any], tokens: Tokens) -> Any:
    """The answer in the words of who asked."""
    if is_tgi(body):
        return [
            {"id": number, "text": text, "start": start, "stop": stop}
            for number, text, start, stop in zip(
                tokens.ids, tokens.texts, tokens.begins, tokens.ends, strict=True
            )
        ]
    answer: dict[str, Any] = {
        "count": len(tokens.ids),
        "max_model_len": tokens.max_model_len,
        "tokens": list(tokens.ids),
        "token_strs": None,
    }
    if body.get("return_token_strs") is True:
        answer["token_strs"] = list(tokens.texts)
    return answer


def read_detokenize(body: Mapping[str, Any], caller: Caller) -> DetokenizeRequest:
    """``{"model", "tokens"}``; raises InvalidField."""
    fields = Fields(body)
    if "tokens" not in fields:
        raise fields.fault("tokens", "a list of token ids")
    return DetokenizeRequest(fields.text("model") or caller.model, fields.ids("tokens"))
