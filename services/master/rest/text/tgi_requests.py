"""(pure) What clients of TGI ask, in its own words of what is wrong."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.master.rest.statuses import Unprocessable
from services.master.rest.text.answer import Caller
from services.master.rest.text.fields import Fields
from services.master.rest.text.grammars import json_schema, regex
from services.master.rest.text.openai_fields import read_seed
from shared.text_generation import GenerateRequest, Grammar, Sampling

MAX_BEST_OF, MAX_STOPS, MAX_TOP_TOKENS = 2, 4, 5
_DEFAULT_NEW_TOKENS = 100
_PREFIX = "Input validation error: "


@dataclass(frozen=True, slots=True)
class TgiRequest:
    """A request, and how its answer is wanted."""

    request: GenerateRequest
    inputs: str
    full_text: bool
    details: bool
    prefill: bool
    top_tokens: int


def read(body: Mapping[str, Any], caller: Caller, *, streams: bool) -> TgiRequest:
    """A body of ``{"inputs", "parameters"}``; raises InvalidField or Unprocessable."""
    fields = Fields(body)
    inputs, given = fields.text("inputs"), fields.object("parameters") or Fields({})
    if "inputs" not in fields or not inputs:
        raise _fault("`inputs` cannot be empty")
    best_of = given.count("best_of", 1)
    if not 0 < best_of <= MAX_BEST_OF:
        raise _fault(f"`best_of` must be > 0 and <= {MAX_BEST_OF}. Given: {best_of}")
    if best_of > 1 and streams:
        raise _fault("`best_of` != 1 is not supported when streaming tokens")
    stop = given.texts("stop", 1000)
    if len(stop) > MAX_STOPS:
        raise _fault(f"`stop` supports up to {MAX_STOPS} stop sequences. Given: {len(stop)}")
    truncate = given.optional_count("truncate")
    if truncate == 0:
        raise _fault("`truncate` must be strictly positive")
    most = given.optional_count("max_new_tokens")
    if most is not None and most == 0:
        raise _fault("`max_new_tokens` must be strictly positive")
    top = given.count("top_n_tokens", 0)
    if top > MAX_TOP_TOKENS:
        raise _fault(f"`top_n_tokens` must be >= 0 and <= {MAX_TOP_TOKENS}. Given: {top}")
    prefill = given.flag("decoder_input_details")
    if prefill and streams:
        raise _fault("`decoder_input_details` == true is not supported when streaming tokens")
    sampling = _sampling(given, caller, top, best_of, prefill=prefill)
    request = GenerateRequest(
        # TGI serves one model; its adapters are told by adapter_id.
        model=given.text("adapter_id") or fields.text("model") or caller.model,
        prompt=inputs,
        sampling=sampling,
        max_new_tokens=_DEFAULT_NEW_TOKENS if most is None else most,
        stop=stop,
        # As there: the text ends with what ended it.
        include_stop=True,
        n=best_of,
        priority=caller.priority,
        truncate_prompt_tokens=truncate or 0,
        details=True,
        prompt_details=prefill,
    )
    return TgiRequest(
        request,
        inputs,
        full_text=given.flag("return_full_text"),
        details=given.flag("details") or prefill,
        prefill=prefill,
        top_tokens=top,
    )


def _sampling(given: Fields, caller: Caller, top: int, best_of: int, *, prefill: bool) -> Sampling:
    _check(given)
    warps = given.number("temperature", 1.0) != 1.0 or "top_k" in given or "top_p" in given
    samples = given.flag("do_sample") or warps
    if best_of > 1 and not samples:
        raise _fault(
            "you must use sampling when `best_of` is > 1, set `do_sample` to true"
            " or change `temperature`"
        )
    penalty, seed = given.number("repetition_penalty", 1.0), read_seed(given)
    return Sampling(
        temperature=given.number("temperature", 1.0) if samples else 0.0,
        top_k=given.count("top_k", 0),
        top_p=given.number("top_p", 0.0) or None,
        repetition_penalty=None if penalty == 1.0 else penalty,
        frequency_penalty=given.number("frequency_penalty", 0.0),
        seed=caller.seed if seed is None else seed,
        logprobs=top,
        prompt_logprobs=0 if prefill else None,
        grammar=_grammar(given),
    )


def _check(given: Fields) -> None:
    """Bounds in TGI's words."""
    for name in ("temperature", "repetition_penalty", "top_k"):
        if name in given and given.number(name, 1.0) <= 0.0:
            raise _fault(f"`{name}` must be strictly positive")
    for name in ("top_p", "typical_p"):
        if name in given and not 0.0 < given.number(name, 0.5) < 1.0:
            raise _fault(f"`{name}` must be > 0.0 and < 1.0")
    if not -2.0 <= given.number("frequency_penalty", 0.0) <= 2.0:
        raise _fault("`frequency_penalty` must be >= -2.0 and <= 2.0")
    if "typical_p" in given:
        raise _fault("`typical_p` is not supported")
    if given.flag("watermark"):
        raise _fault("`watermark` is not supported")


def _grammar(given: Fields) -> Grammar | None:
    grammar = given.object("grammar")
    if grammar is None:
        return None
    match grammar.raw("type"):
        case "json":
            return json_schema(grammar, "value")
        case "json_schema":
            named = grammar.object("value")
            if named is not None:
                return json_schema(named, "schema")
        case "regex":
            return regex(grammar, "value")
    raise _fault("`grammar` must be json, json_schema or regex, with a value")


def _fault(reason: str) -> Unprocessable:
    return Unprocessable(_PREFIX + reason)
