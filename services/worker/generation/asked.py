"""(pure) What a request asks of an engine: limits, sampling, the prompt with its copies."""

from collections.abc import Callable
from dataclasses import replace

from services.worker.generation.prompts import Limits, Prompt
from shared.deadline import Deadline
from shared.errors import InvalidRequest
from shared.text_generation import GenerateRequest, Sampling

# Each character of a completion is compared with all of them.
_MOST_STOPS = 64
_MOST_STOP_CHARACTERS = 16 << 10
_MOST_ALTERNATIVES = 100


def check_bounds(what: str, request: GenerateRequest, *, most_choices: int) -> None:
    """Raises InvalidRequest for what would take too much of the worker before an agent sees it."""
    if not 1 <= request.n <= most_choices:
        raise InvalidRequest(f"{what}: n: expected 1 to {most_choices}, got {request.n}")
    if len(request.stop) > _MOST_STOPS:
        raise InvalidRequest(
            f"{what}: stop: expected at most {_MOST_STOPS} texts, got {len(request.stop)}"
        )
    characters = sum(map(len, request.stop))
    if characters > _MOST_STOP_CHARACTERS:
        raise InvalidRequest(
            f"{what}: stop: expected at most {_MOST_STOP_CHARACTERS} characters in all,"
            f" got {characters}"
        )
    for name in ("logprobs", "prompt_logprobs"):
        count = getattr(request.sampling, name)
        if count is not None and not 0 <= count <= _MOST_ALTERNATIVES:
            raise InvalidRequest(f"{what}: {name}: expected 0 to {_MOST_ALTERNATIVES}, got {count}")


def limits_of(
    request: GenerateRequest, *, prompt_tokens: int, context: int, eos_ids: frozenset[int]
) -> Limits:
    """When each choice ends by itself; what is not said is as much as fits."""
    most = request.max_new_tokens
    return Limits(
        max(1, context - prompt_tokens) if most is None else most,
        request.sampling.min_tokens,
        eos_ids,
        frozenset(request.sampling.stop_ids),
        request.ignore_eos,
    )


def sampling_of(sampling: Sampling, limits: Limits, *, seed: int, choice: int) -> Sampling:
    """How tokens of one choice are chosen: it adds its number to the seed."""
    ends = limits.stop_ids if limits.ignore_eos else limits.stop_ids | limits.eos_ids
    # The first choice tells of the prompt.
    prompt_logprobs = None if choice else sampling.prompt_logprobs
    return replace(
        sampling,
        seed=(seed + choice) % 2**64,
        stop_ids=tuple(sorted(ends)),
        prompt_logprobs=prompt_logprobs,
    )


def prompt_of(
    request: GenerateRequest,
    ids: tuple[int, ...],
    limits: Limits,
    *,
    adapter: int,
    deadline: Deadline | None,
    draw: Callable[[], int],
) -> Prompt:
    """What engines continue, so many times as there are choices."""
    salt = request.cache_salt
    if request.sampling.prompt_logprobs is not None:
        # What is loaded of a prompt is not computed, and nothing would be known of it.
        salt = f"{salt} {draw()}"
    return Prompt(ids, limits, request.n, request.priority, deadline, adapter, salt)
