"""(pure) ``/v1/chat/completions``: messages in, an answer or calls of tools out."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from services.master.rest.text.answer import (
    Asked,
    Caller,
    Counted,
    Event,
    Headers,
    check,
    logprob,
    shown,
)
from services.master.rest.text.fields import Fields
from services.master.rest.text.grammars import read_grammar
from services.master.rest.text.messages import read_chat
from services.master.rest.text.openai_fields import (
    FINGERPRINT,
    MOST_LOGPROBS,
    Streaming,
    read_request,
    read_streaming,
    write_usage,
)
from services.master.rest.text.tool_calls import ToolCall, ToolCallReader
from services.master.rest.text.tools import Tools, read_tools
from shared.text_generation import Alternative, GenerateReply, Piece, Token


def read(body: Mapping[str, Any], caller: Caller) -> Asked:
    """A request body; raises InvalidField."""
    fields = Fields(body)
    fields.refuse("functions", "function_call", "audio", "echo", "prompt_logprobs")
    streaming = read_streaming(fields)
    tools = read_tools(fields)
    if tools.grammar is not None and read_grammar(fields) is not None:
        raise fields.fault("response_format", "none beside a tool that must be called")
    most = fields.optional_count("max_completion_tokens", 1)
    if most is None:
        most = fields.optional_count("max_tokens", 1)
    wants_logprobs = fields.flag("logprobs")
    top = fields.optional_count("top_logprobs", 0, MOST_LOGPROBS)
    if top and not wants_logprobs:
        raise fields.fault("top_logprobs", "none without logprobs")
    returns_ids = fields.flag("return_token_ids")
    request = read_request(
        fields,
        caller,
        read_chat(fields, tools.as_json),
        max_new_tokens=most,
        logprobs=(top or 0) if wants_logprobs else None,
        details=wants_logprobs,
        prompt_details=returns_ids,
    )
    if tools.grammar is not None:
        request = replace(request, sampling=replace(request.sampling, grammar=tools.grammar))
    answer = ChatCompletion(
        caller, request.model, streaming, tools, n=request.n, token_ids=returns_ids
    )
    return Asked([request], answer, streaming.streams, says_done=True)


@dataclass(slots=True)
class _Choice:
    """What came for one choice so far."""

    reader: ToolCallReader | None
    content: str = ""
    calls: list[ToolCall] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    finish_reason: str | None = None

    def add(self, piece: Piece, *, only_one: bool) -> str:
        """The text that can be told of a piece."""
        self.tokens += piece.tokens
        self.token_ids += piece.token_ids
        text = piece.text if self.reader is None else self.reader.feed(piece.text)
        if piece.finish_reason:
            self.finish_reason = piece.finish_reason
            if self.reader is not None:
                rest, calls = self.reader.end()
                text += rest
                self.calls = calls[:1] if only_one else calls
                if self.calls:
                    self.finish_reason = "tool_calls"
        self.content += text
        return text


class ChatCompletion:
    """See ``Answer``."""

    def __init__(
        self,
        caller: Caller,
        model: str,
        streaming: Streaming,
        tools: Tools,
        *,
        n: int,
        token_ids: bool,
    ) -> None:
        self._id = caller.request_id
        self._head = {
            "id": f"chatcmpl-{caller.request_id}",
            "created": caller.created,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._streaming = streaming
        self._only_one = tools.only_one
        self._token_ids = token_ids
        self._choices = [_Choice(ToolCallReader() if tools.may_call else None) for _ in range(n)]
        self._prompt_ids: list[int] | None = None
        self._begun = False
        self._counted = Counted()

    def add(self, prompt: int, reply: GenerateReply) -> Iterator[Event]:
        """See ``Answer``."""
        self._counted.add(reply.usage)
        if reply.prompt is not None:
            self._prompt_ids = [token.id for token in reply.prompt.tokens]
        if not self._begun:
            self._begun = True
            for index in range(len(self._choices)):
                chunk = self._chunk(index, {"role": "assistant", "content": ""})
                if self._token_ids:
                    chunk["prompt_token_ids"] = self._prompt_ids
                yield chunk
        for piece in reply.pieces:
            check(piece)
            choice = self._choices[piece.choice]
            text = choice.add(piece, only_one=self._only_one)
            ids = piece.token_ids if self._token_ids else ()
            if text or piece.tokens or ids:
                yield self._chunk(piece.choice, {"content": text}, piece.tokens, ids)
            if piece.finish_reason:
                delta = {"tool_calls": self._calls(piece.choice)} if choice.calls else {}
                yield self._chunk(piece.choice, delta, reason=choice.finish_reason)

    def _chunk(
        self,
        index: int,
        delta: Event,
        tokens: Iterable[Token] = (),
        ids: tuple[int, ...] = (),
        reason: str | None = None,
    ) -> Event:
        told: Event = {
            "index": index,
            "delta": delta,
            "logprobs": _logprobs(tokens),
            "finish_reason": reason,
        }
        if ids:
            told["token_ids"] = list(ids)
        chunk: Event = {**self._head, "object": "chat.completion.chunk", "choices": [told]}
        if self._streaming.usage:
            chunk["usage"] = None
        return chunk

    def _calls(self, index: int) -> list[Event]:
        return [
            {
                "index": number,
                "id": f"call-{self._id}-{index}-{number}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(self._choices[index].calls)
        ]

    def end(self) -> Iterator[Event]:
        """See ``Answer``."""
        if self._streaming.usage:
            yield {
                **self._head,
                "object": "chat.completion.chunk",
                "choices": [],
                "usage": write_usage(self._counted),
            }

    def whole(self) -> Event:
        """See ``Answer``."""
        answer: Event = {
            **self._head,
            "object": "chat.completion",
            "choices": [self._write(index) for index in range(len(self._choices))],
            "usage": write_usage(self._counted),
        }
        if self._token_ids:
            answer["prompt_token_ids"] = self._prompt_ids
        return answer

    def _write(self, index: int) -> Event:
        choice = self._choices[index]
        message: Event = {"role": "assistant", "content": choice.content}
        if choice.calls:
            calls = self._calls(index)
            for call in calls:
                del call["index"]
            message |= {"content": choice.content or None, "tool_calls": calls}
        told: Event = {
            "index": index,
            "message": message,
            "logprobs": _logprobs(choice.tokens),
            "finish_reason": choice.finish_reason,
        }
        if self._token_ids:
            told["token_ids"] = choice.token_ids
        return told

    def headers(self, elapsed_seconds: float) -> Headers:
        """See ``Answer``."""
        return ()


def _logprobs(tokens: Iterable[Token]) -> Event | None:
    content = [
        {**_write(token), "top_logprobs": list(map(_write, token.alternatives))} for token in tokens
    ]
    return {"content": content} if content else None


def _write(token: Token | Alternative) -> Event:
    return {
        "token": shown(token.text),
        "logprob": logprob(token.logprob),
        "bytes": list(token.text),
    }
