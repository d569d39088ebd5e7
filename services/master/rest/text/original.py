"""(pure) ``/models/MODEL/generate`` and its sisters, as MindSpore's llm-serving had them.

The fields are its; the framing of events, the statuses and what tokens say are right.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from services.master.rest.text.answer import Asked, Caller, Event, Headers, check, logprob
from services.master.rest.text.fields import Fields
from services.master.rest.text.increments import Increments
from services.master.rest.text.openai_fields import MOST_STOPS, read_seed
from shared import errors
from shared.text_generation import (
    GenerateReply,
    GenerateRequest,
    ListedModel,
    Piece,
    Sampling,
    Token,
)

_DEFAULT_NEW_TOKENS, _DEFAULT_TOP_K = 300, 3
_RETRY_MILLISECONDS = 30_000
_VERSION = "2.3"


def read(body: Mapping[str, Any], caller: Caller, *, streams: bool | None = None) -> Asked:
    """A body of ``{"inputs", "parameters", "stream"}``; without ``streams`` it says which."""
    fields = Fields(body)
    fields.object("parameters")
    given = _lenient(fields.raw("parameters"))
    if not fields.text("inputs"):
        raise fields.fault("inputs", "a text that is not empty")
    if streams is None:
        streams = _lenient({"stream": body.get("stream")}).flag("stream")
    # It took these and did nothing with them.
    given.refuse("watermark")
    if given.number("typical_p", 1.0) not in (0.0, 1.0):
        raise given.fault("typical_p", "nothing: it is not supported")
    samples = given.flag("do_sample")
    penalty = given.number("repetition_penalty", 1.0, 0.0)
    request = GenerateRequest(
        model=caller.model,
        prompt=fields.text("inputs"),
        sampling=Sampling(
            temperature=given.number("temperature", 1.0, 0.0) if samples else 0.0,
            top_k=given.count("top_k", _DEFAULT_TOP_K),
            top_p=_part(given.number("top_p", 1.0, 0.0, 1.0)),
            repetition_penalty=penalty if penalty not in (0.0, 1.0) else None,
            seed=read_seed(given),
            logprobs=0,
        ),
        max_new_tokens=given.count("max_new_tokens", _DEFAULT_NEW_TOKENS, 1),
        stop=given.texts("stop", MOST_STOPS),
        truncate_prompt_tokens=given.count("truncate", 0),
        priority=caller.priority,
        details=True,
    )
    answer = OriginalAnswer(
        full_text=given.flag("return_full_text"),
        sse=given.text("return_protocol", "sse") == "sse",
    )
    return Asked([request], answer, streams)


def _part(top_p: float) -> float | None:
    return None if top_p in (0.0, 1.0) else top_p


def _lenient(values: Mapping[str, Any] | None) -> Fields:
    """With ``"True"`` and ``"False"`` as the truths that they name."""
    truths = {"True": True, "False": False}
    return Fields(
        {
            name: truths.get(value, value) if isinstance(value, str) else value
            for name, value in (values or {}).items()
        },
        "parameters.",
    )


def write_failure(failure: errors.ServingError) -> dict[str, Any]:
    """``{"error"}``, which its own client looks for."""
    return {"error": failure.message}


class OriginalAnswer:
    """See ``Answer``."""

    def __init__(self, *, full_text: bool, sse: bool) -> None:
        self._full_text = full_text
        self._sse = sse
        self._text = ""
        self._tokens: list[Event] = []
        self._finish_reason = ""
        self._increments = Increments()

    def add(self, prompt: int, reply: GenerateReply) -> Iterator[Event]:
        """See ``Answer``: an event for each token."""
        for piece in reply.pieces:
            check(piece)
            self._text += piece.text
            yield from self._events(piece)
            if piece.finish_reason == "stop":
                self._finish_reason = "stop" if piece.stopped_by else "eos"
            elif piece.finish_reason:
                self._finish_reason = piece.finish_reason

    def _events(self, piece: Piece) -> Iterator[Event]:
        """The text of a piece is told with its last token: it may end before the token does."""
        last = len(piece.tokens) - 1
        for place, token in enumerate(piece.tokens):
            ends = bool(piece.finish_reason) and place == last
            written = _write(token, self._increments.add(token.text, last=ends))
            self._tokens.append(written)
            yield self._of_token(written, piece.text if place == last else "")
        if piece.text and not piece.tokens:
            # What was held back, and is told now that nothing follows.
            yield self._of_token(self._tokens[-1], piece.text)

    # Beside each event stands what its client and its first versions read and wrote.

    def _of_token(self, written: Event, text: str) -> Event:
        beside = {"token": {"text": text, "index": len(self._tokens)}}
        return self._event(text, written, [written]) | beside

    def _event(self, text: str, tokens: Any, top: list[Event]) -> Event:
        told = {"details": None, "generated_text": text, "tokens": tokens, "top_tokens": top}
        return message([told]) if self._sse else told

    def end(self) -> Iterator[Event]:
        """See ``Answer``."""
        if self._full_text:
            whole = {"generated_text": self._text}
            yield self._event(self._text, self._tokens, self._tokens[:1]) | whole

    def whole(self) -> Event:
        """See ``Answer``."""
        return {
            "generated_text": self._text,
            "finish_reason": self._finish_reason,
            "generated_tokens": len(self._tokens),
            "prefill": self._tokens[:1],
            "seed": 0,
            "tokens": self._tokens,
            "top_tokens": [self._tokens[:1]],
            "details": None,
        }

    def headers(self, elapsed_seconds: float) -> Headers:
        """See ``Answer``."""
        return ()


def _write(token: Token, text: str) -> Event:
    return {
        "id": token.id,
        "logprob": logprob(token.logprob) or 0.0,
        "special": token.special,
        "text": text,
    }


def message(content: Any) -> Event:
    """What each of its events says."""
    return {"event": "message", "retry": _RETRY_MILLISECONDS, "data": content}


def model_info(model: ListedModel) -> Event:
    """``/serving/get_serverd_model_info``."""
    return {
        "docker_label": "",
        "max_batch_total_tokens": model.max_model_len * model.slots,
        "max_concurrent_requests": model.outstanding,
        "max_input_length": model.max_model_len,
        "max_total_tokens": model.max_model_len,
        "model_device_type": model.device_type,
        "model_dtype": "",
        "model_id": model.name,
        "model_pipeline_tag": "text-generation",
        "version": _VERSION,
    }
