"""(pure) ``/v1/completions``: prompts in, their continuations out."""

from collections.abc import Iterator, Mapping
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
from services.master.rest.text.fields import Fields, are_ids
from services.master.rest.text.openai_fields import (
    FINGERPRINT,
    MOST_LOGPROBS,
    Streaming,
    read_request,
    read_streaming,
    write_usage,
)
from shared.text_generation import GenerateReply, GenerateRequest, Prompt, Token

_DEFAULT_MAX_TOKENS = 16
_MOST_PROMPTS = 256


def read(body: Mapping[str, Any], caller: Caller) -> Asked:
    """A request body; raises InvalidField."""
    fields = Fields(body)
    fields.refuse("suffix")
    streaming = read_streaming(fields)
    echo = fields.flag("echo")
    returns_ids = fields.flag("return_token_ids")
    logprobs = _logprobs(fields)
    most = fields.count("max_tokens", _DEFAULT_MAX_TOKENS, 0 if echo else 1)
    requests = [
        read_request(
            fields,
            caller,
            prompt,
            # Whoever wants nothing but the prompt gets one token, which is left out.
            max_new_tokens=max(most, 1),
            logprobs=logprobs,
            details=logprobs is not None,
            prompt_details=echo or returns_ids,
        )
        for prompt in read_prompts(fields)
    ]
    if echo and logprobs is not None:
        requests = [_with_prompt_logprobs(each, logprobs) for each in requests]
    answer = Completion(
        caller,
        requests[0].model,
        streaming,
        n=requests[0].n,
        prompts=len(requests),
        echo=echo,
        only_echo=most == 0,
        logprobs=logprobs is not None,
        token_ids=returns_ids,
    )
    return Asked(requests, answer, streaming.streams, says_done=True)


def _with_prompt_logprobs(request: GenerateRequest, logprobs: int) -> GenerateRequest:
    if request.sampling.prompt_logprobs is not None:
        return request
    return replace(request, sampling=replace(request.sampling, prompt_logprobs=logprobs))


def _logprobs(fields: Fields) -> int | None:
    # OpenAI's field is a number; some clients say true or false, as in chats.
    if fields.raw("logprobs") is False:
        return None
    return fields.optional_count("logprobs", 0, MOST_LOGPROBS)


def read_prompts(fields: Fields) -> list[Prompt]:
    """``prompt``: a text, a list of texts, token ids, or a list of lists of token ids."""
    value = fields.raw("prompt")
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and len(value) > 0:
        if are_ids(value):
            return [tuple(value)]
        if all(isinstance(each, str) or (are_ids(each) and each) for each in value):
            if len(value) > _MOST_PROMPTS:
                raise fields.fault("prompt", f"at most {_MOST_PROMPTS} prompts")
            return [each if isinstance(each, str) else tuple(each) for each in value]
    raise fields.fault("prompt", "a text, a list of texts, token ids, or a list of lists of them")


@dataclass(slots=True)
class _Choice:
    """What came for one choice so far."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    offset: int = 0
    begun: bool = False
    finish_reason: str | None = None


class Completion:
    """See ``Answer``."""

    def __init__(
        self,
        caller: Caller,
        model: str,
        streaming: Streaming,
        *,
        n: int,
        prompts: int,
        echo: bool,
        only_echo: bool,
        logprobs: bool,
        token_ids: bool,
    ) -> None:
        self._head = {
            "id": f"cmpl-{caller.request_id}",
            "object": "text_completion",
            "created": caller.created,
            "model": model,
            "system_fingerprint": FINGERPRINT,
        }
        self._streaming = streaming
        self._n = n
        self._echo = echo
        self._only_echo = only_echo
        self._logprobs = logprobs
        self._token_ids = token_ids
        self._choices = [_Choice() for _ in range(n * prompts)]
        self._prompt_ids: dict[int, list[int]] = {}
        self._prompt_logprobs: dict[int, list[Any]] = {}
        self._counted = Counted()

    def add(self, prompt: int, reply: GenerateReply) -> Iterator[Event]:
        """See ``Answer``."""
        self._counted.add(reply.usage)
        first = prompt * self._n
        if reply.prompt is not None:
            read = reply.prompt
            self._prompt_ids[prompt] = [token.id for token in read.tokens]
            self._prompt_logprobs[prompt] = list(map(_alternatives, read.tokens))
            if self._echo:
                for index in range(first, first + self._n):
                    yield self._add(index, read.text, (), read.tokens, None)
        for piece in reply.pieces:
            check(piece)
            # A piece may be the first bytes of a character: nothing to tell yet, but its ids.
            if self._only_echo:
                reason = "length" if piece.finish_reason else None
                if reason:
                    yield self._add(first + piece.choice, "", (), (), reason)
            elif piece.text or piece.finish_reason or piece.tokens or self._token_ids:
                yield self._add(
                    first + piece.choice, piece.text, piece.token_ids, piece.tokens,
                    piece.finish_reason or None,
                )  # fmt: skip

    def _add(
        self,
        index: int,
        text: str,
        token_ids: tuple[int, ...],
        tokens: tuple[Token, ...],
        reason: str | None,
    ) -> Event:
        choice = self._choices[index]
        choice.text += text
        choice.token_ids += token_ids
        choice.tokens += tokens
        choice.finish_reason = reason or choice.finish_reason
        told: Event = {
            "index": index,
            "text": text,
            "logprobs": self._write_logprobs(tokens, choice.offset) if tokens else None,
            "finish_reason": reason,
        }
        choice.offset += sum(len(shown(token.text)) for token in tokens)
        if self._token_ids:
            told["token_ids"] = list(token_ids)
            first = not choice.begun
            told["prompt_token_ids"] = self._prompt_ids.get(index // self._n) if first else None
        choice.begun = True
        chunk: Event = {**self._head, "choices": [told]}
        if self._streaming.usage:
            chunk["usage"] = None
        return chunk

    def _write_logprobs(
        self, tokens: tuple[Token, ...] | list[Token], offset: int
    ) -> dict[str, Any] | None:
        if not self._logprobs:
            return None
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(shown(token.text))
        return {
            "tokens": [shown(token.text) for token in tokens],
            "token_logprobs": [logprob(token.logprob) for token in tokens],
            "top_logprobs": [_top(token) for token in tokens],
            "text_offset": offsets,
        }

    def end(self) -> Iterator[Event]:
        """See ``Answer``."""
        if self._streaming.usage:
            yield {**self._head, "choices": [], "usage": write_usage(self._counted)}

    def whole(self) -> Event:
        """See ``Answer``."""
        return {
            **self._head,
            "choices": [self._write(index) for index in range(len(self._choices))],
            "usage": write_usage(self._counted),
        }

    def _write(self, index: int) -> Event:
        choice, prompt = self._choices[index], index // self._n
        told = {
            "index": index,
            "text": choice.text,
            "logprobs": self._write_logprobs(choice.tokens, 0),
            "finish_reason": choice.finish_reason,
        }
        if self._prompt_logprobs.get(prompt):
            told["prompt_logprobs"] = self._prompt_logprobs[prompt]
        if self._token_ids:
            told["token_ids"] = choice.token_ids
            told["prompt_token_ids"] = self._prompt_ids.get(prompt)
        return told

    def headers(self, elapsed_seconds: float) -> Headers:
        """See ``Answer``."""
        return ()


def _top(token: Token) -> dict[str, float | None] | None:
    if token.logprob is None:
        return None
    found = {shown(each.text): logprob(each.logprob) for each in token.alternatives}
    # The one that was chosen is told even when it is not among the most likely.
    return {**found, shown(token.text): logprob(token.logprob)}


def _alternatives(token: Token) -> dict[str, Any] | None:
    """A prompt's token as vLLM tells of it: by id."""
    if token.logprob is None:
        return None
    own = {
        "logprob": logprob(token.logprob),
        "rank": token.rank,
        "decoded_token": shown(token.text),
    }
    found = {
        str(each.id): {
            "logprob": logprob(each.logprob),
            "rank": rank,
            "decoded_token": shown(each.text),
        }
        for rank, each in enumerate(token.alternatives, 1)
    }
    return {**found, str(token.id): own}
