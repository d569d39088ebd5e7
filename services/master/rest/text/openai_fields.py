"""(pure) Fields that completions and chats of OpenAI's dialect share, vLLM's additions too."""

from dataclasses import dataclass
from typing import Any

from services.master.rest.text.answer import Caller, Counted
from services.master.rest.text.fields import Fields
from services.master.rest.text.grammars import read_grammar
from shared.text_generation import MOST_BIASES, MOST_CHOICES, GenerateRequest, Prompt, Sampling

MOST_LOGPROBS, MOST_STOPS = 20, 64
FINGERPRINT = "mindserve"
_LARGEST_SEED = 2**63 - 1
_LOWEST_PRIORITY = 999


def read_request(
    fields: Fields,
    caller: Caller,
    prompt: Prompt,
    *,
    max_new_tokens: int | None,
    logprobs: int | None,
    details: bool,
    prompt_details: bool = False,
) -> GenerateRequest:
    """One prompt with everything that both kinds of request say in the same words."""
    fields.refuse("use_beam_search", "bad_words", "logits_processors", "length_penalty")
    truncated = fields.count("truncate_prompt_tokens", 0, low=-1)
    prompt_logprobs = fields.optional_count("prompt_logprobs", 0, MOST_LOGPROBS)
    n = fields.count("n", 1, 1, MOST_CHOICES)
    if fields.count("best_of", n, 1, MOST_CHOICES) != n:
        raise fields.fault("best_of", f"the same as n, {n}: others are not supported")
    return GenerateRequest(
        model=caller.name_of(fields.text("model") or caller.model),
        prompt=prompt,
        sampling=read_sampling(fields, logprobs, prompt_logprobs),
        max_new_tokens=max_new_tokens,
        stop=fields.texts("stop", MOST_STOPS),
        include_stop=fields.flag("include_stop_str_in_output"),
        ignore_eos=fields.flag("ignore_eos"),
        n=n,
        skip_special_tokens=fields.flag("skip_special_tokens", default=True),
        priority=fields.count("priority", caller.priority, 0, _LOWEST_PRIORITY),
        cache_salt=fields.text("cache_salt"),
        truncate_prompt_tokens=max(truncated, 0),
        details=details,
        prompt_details=prompt_details or prompt_logprobs is not None,
        add_special_tokens=fields.optional_flag("add_special_tokens"),
    )


def read_sampling(fields: Fields, logprobs: int | None, prompt_logprobs: int | None) -> Sampling:
    """How the next token is chosen."""
    top_p = fields.number("top_p", 1.0, 0.0, 1.0)
    if top_p == 0.0:
        raise fields.fault("top_p", "a number over 0, up to 1")
    penalty = fields.number("repetition_penalty", 1.0, 0.0)
    if penalty == 0.0:
        raise fields.fault("repetition_penalty", "a number over 0")
    return Sampling(
        temperature=fields.number("temperature", 1.0, 0.0, 2.0),
        # vLLM's -1 is all of them, as 0 is.
        top_k=max(fields.count("top_k", 0, -1), 0),
        top_p=None if top_p == 1.0 else top_p,
        min_p=fields.number("min_p", 0.0, 0.0, 1.0),
        repetition_penalty=None if penalty == 1.0 else penalty,
        presence_penalty=fields.number("presence_penalty", 0.0, -2.0, 2.0),
        frequency_penalty=fields.number("frequency_penalty", 0.0, -2.0, 2.0),
        logit_bias=_bias(fields),
        seed=read_seed(fields),
        min_tokens=fields.count("min_tokens", 0),
        stop_ids=fields.ids("stop_token_ids"),
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        allowed_ids=fields.ids("allowed_token_ids"),
        grammar=read_grammar(fields),
    )


def read_seed(fields: Fields) -> int | None:
    """A seed; a negative one is a seed of its own."""
    seed = fields.optional_count("seed", -_LARGEST_SEED - 1, _LARGEST_SEED)
    return None if seed is None else seed % 2**64


def _bias(fields: Fields) -> dict[int, float]:
    biases = fields.object("logit_bias")
    if biases is None:
        return {}
    found = {}
    given = fields.raw("logit_bias")
    if len(given) > MOST_BIASES:
        raise fields.fault("logit_bias", f"at most {MOST_BIASES} tokens")
    for name in given:
        if not name.isascii() or not name.isdigit() or len(name) > 9:
            raise fields.fault("logit_bias", "token ids and numbers from -100 to 100")
        found[int(name)] = biases.number(name, 0.0, -100.0, 100.0)
    return found


@dataclass(frozen=True, slots=True)
class Streaming:
    """How a stream is wanted."""

    streams: bool
    usage: bool
    """One more chunk with the usage."""


def read_streaming(fields: Fields) -> Streaming:
    """``stream`` and its options."""
    streams, options = fields.flag("stream"), fields.object("stream_options")
    if options is None:
        return Streaming(streams, usage=False)
    if not streams:
        raise fields.fault("stream_options", "none without stream")
    return Streaming(streams, options.flag("include_usage"))


def write_usage(counted: Counted) -> dict[str, Any]:
    """Tokens as OpenAI's dialect counts them."""
    return {
        "prompt_tokens": counted.prompt_tokens,
        "completion_tokens": counted.completion_tokens,
        "total_tokens": counted.prompt_tokens + counted.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": counted.cached_tokens},
    }
