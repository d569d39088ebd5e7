"""(pure) ``/``, ``/generate`` and ``/generate_stream`` of TGI: what it answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.master.rest.statuses import InvalidField, status_of
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
from services.master.rest.text.increments import Increments
from services.master.rest.text.tgi_requests import TgiRequest
from services.master.rest.text.tgi_requests import read as read_request
from shared import errors
from shared.text_generation import GenerateReply, Piece, ReadPrompt, Token


def read_root(body: Mapping[str, Any], caller: Caller) -> Asked:
    """``POST /``: streams if the body says so, else answers a list of one."""
    streams = Fields(body).flag("stream")
    return _asked(body, caller, streams=streams, as_list=True)


def read_generate(body: Mapping[str, Any], caller: Caller) -> Asked:
    """``POST /generate``."""
    return _asked(body, caller, streams=False, as_list=False)


def read_generate_stream(body: Mapping[str, Any], caller: Caller) -> Asked:
    """``POST /generate_stream``."""
    return _asked(body, caller, streams=True, as_list=False)


def _asked(body: Mapping[str, Any], caller: Caller, *, streams: bool, as_list: bool) -> Asked:
    asked = read_request(body, caller, streams=streams)
    return Asked([asked.request], Generation(asked, as_list=as_list), streams)


def write_failure(failure: errors.ServingError) -> dict[str, Any]:
    """``{"error", "error_type"}``."""
    return {"error": failure.message, "error_type": _error_type(failure)}


def status(failure: errors.ServingError) -> int:
    """TGI's statuses where it has one of its own."""
    match failure:
        case errors.ExecutionFailed():
            return 424
        case InvalidField():
            return 422
        case errors.InvalidRequest() if type(failure) is errors.InvalidRequest:
            return 422
        case _:
            return status_of(failure)


def _error_type(failure: errors.ServingError) -> str:
    match failure:
        case errors.NotServed():
            return "not_found"
        case errors.InvalidRequest():
            return "validation"
        case errors.Refused():
            return "overloaded"
        case errors.ExecutionFailed():
            return "generation"
        case _:
            return "incomplete_generation"


@dataclass(slots=True)
class _Sequence:
    """What came for one choice so far."""

    text: str = ""
    tokens: list[Token] = field(default_factory=list)
    finish_reason: str = ""
    increments: Increments = field(default_factory=Increments)

    @property
    def mean_logprob(self) -> float:
        return sum(token.logprob or 0.0 for token in self.tokens) / max(len(self.tokens), 1)


class Generation:
    """See ``Answer``."""

    def __init__(self, asked: TgiRequest, *, as_list: bool) -> None:
        self._asked = asked
        self._as_list = as_list
        self._prefix = asked.inputs if asked.full_text else ""
        self._sequences = [_Sequence() for _ in range(asked.request.n)]
        self._prompt: ReadPrompt | None = None
        self._counted = Counted()
        self._last: Event | None = None

    def add(self, prompt: int, reply: GenerateReply) -> Iterator[Event]:
        """See ``Answer``: an event for each token; the last one waits for the usage."""
        self._prompt = reply.prompt or self._prompt
        self._counted.add(reply.usage)
        for piece in reply.pieces:
            check(piece)
            sequence = self._sequences[piece.choice]
            events = list(self._events(sequence, piece))
            if piece.finish_reason:
                sequence.finish_reason = _reason(piece)
                self._last = events.pop()
            yield from events

    def _events(self, sequence: _Sequence, piece: Piece) -> Iterator[Event]:
        sequence.text += piece.text
        begun = len(sequence.tokens)
        sequence.tokens += piece.tokens
        for index, token in enumerate(piece.tokens, begun + 1):
            ends = bool(piece.finish_reason) and index == len(sequence.tokens)
            yield self._event(index, token, sequence.increments.add(token.text, last=ends))
        if piece.finish_reason and not piece.tokens:
            last = sequence.tokens[-1] if sequence.tokens else Token(0)
            rest = sequence.increments.add(b"", last=True)
            yield self._event(max(begun, 1), last, rest)

    def _event(self, index: int, token: Token, text: str) -> Event:
        event: Event = {"index": index, "token": {**_write(token), "text": text}}
        if self._asked.top_tokens:
            event["top_tokens"] = _top(token)
        return {**event, "generated_text": None, "details": None}

    def end(self) -> Iterator[Event]:
        """See ``Answer``."""
        sequence = self._sequences[0]
        if self._last is not None:
            details = {
                **self._ending(sequence),
                "input_length": self._counted.prompt_tokens,
            }
            text = self._prefix + sequence.text
            yield {**self._last, "generated_text": text, "details": details}

    def _ending(self, sequence: _Sequence) -> Event:
        return {
            "finish_reason": sequence.finish_reason,
            "generated_tokens": len(sequence.tokens),
            "seed": self._asked.request.sampling.seed,
        }

    def whole(self) -> Any:
        """See ``Answer``."""
        best, *others = sorted(self._sequences, key=lambda each: each.mean_logprob, reverse=True)
        answer: Event = {"generated_text": self._prefix + best.text}
        if self._asked.details or self._as_list:
            answer["details"] = {**self._details(best), "prefill": self._prefill()}
            if others:
                answer["details"]["best_of_sequences"] = [
                    {
                        "generated_text": self._prefix + each.text,
                        **self._details(each),
                        "prefill": [],
                    }
                    for each in others
                ]
        return [answer] if self._as_list else answer

    def _details(self, sequence: _Sequence) -> Event:
        details = {
            **self._ending(sequence),
            "tokens": [_write(token) for token in sequence.tokens],
        }
        if self._asked.top_tokens:
            details["top_tokens"] = [_top(token) for token in sequence.tokens]
        return details

    def _prefill(self) -> list[Event]:
        if self._prompt is None or not self._asked.prefill:
            return []
        return [
            {"id": token.id, "text": shown(token.text), "logprob": logprob(token.logprob)}
            for token in self._prompt.tokens
        ]

    def headers(self, elapsed_seconds: float) -> Headers:
        """See ``Answer``; times are in milliseconds, but the compute time."""
        counted = self._counted
        inference, queue = counted.inference_seconds, counted.queue_seconds
        told = {
            "x-compute-type": "mindserve",
            "x-compute-time": f"{elapsed_seconds:.6f}",
            "x-compute-characters": len(self._asked.inputs),
            "x-total-time": round(elapsed_seconds * 1000),
            "x-validation-time": round(max(elapsed_seconds - inference - queue, 0.0) * 1000),
            "x-queue-time": round(queue * 1000),
            "x-inference-time": round(inference * 1000),
            "x-time-per-token": round(inference * 1000 / max(counted.completion_tokens, 1)),
            "x-prompt-tokens": counted.prompt_tokens,
            "x-generated-tokens": counted.completion_tokens,
        }
        return [(name.encode(), str(value).encode()) for name, value in told.items()]


def _reason(piece: Piece) -> str:
    if piece.finish_reason == "stop":
        return "stop_sequence" if piece.stopped_by else "eos_token"
    return piece.finish_reason


def _write(token: Token) -> Event:
    return {
        "id": token.id,
        "text": shown(token.text),
        "logprob": logprob(token.logprob) or 0.0,
        "special": token.special,
    }


def _top(token: Token) -> list[Event]:
    return [
        {
            "id": each.id,
            "text": shown(each.text),
            "logprob": logprob(each.logprob),
            "special": each.special,
        }
        for each in token.alternatives
    ]
