"""(pure) What is wrong with how a sequence wants its tokens to be chosen."""

import math
from collections.abc import Iterable, Iterator

from services.agent.generation.steps import Start


def wrong_with(start: Start, vocabulary: int) -> str:
    """What, where, expected and got, in one line; empty if nothing is."""
    return next(_all_wrong(start, vocabulary), "")


def _all_wrong(start: Start, vocabulary: int) -> Iterator[str]:
    sampling = start.sampling
    yield from _not_tokens("tokens", start.tokens, vocabulary)
    yield from _not_tokens("logit_bias", sampling.logit_bias, vocabulary)
    yield from _not_tokens("stop_ids", sampling.stop_ids, vocabulary)
    yield from _not_tokens("allowed_ids", sampling.allowed_ids, vocabulary)
    yield from _outside("temperature", sampling.temperature, 0.0, math.inf)
    yield from _outside("min_p", sampling.min_p, 0.0, 1.0)
    yield from _outside("presence_penalty", sampling.presence_penalty, -math.inf, math.inf)
    yield from _outside("frequency_penalty", sampling.frequency_penalty, -math.inf, math.inf)
    for name in ("top_p", "repetition_penalty"):
        value = getattr(sampling, name)
        most = 1.0 if name == "top_p" else math.inf
        yield from _outside(name, value, 0.0, most)
        if value == 0.0:
            yield f"{name}: expected more than 0, got 0"
    for bias in sampling.logit_bias.values():
        yield from _outside("logit_bias", bias, -math.inf, math.inf)


def _not_tokens(name: str, tokens: Iterable[int], vocabulary: int) -> Iterator[str]:
    largest = max(tokens, default=0)
    if largest >= vocabulary:
        yield f"{name}: expected ids below {vocabulary}, got {largest}"


def _outside(name: str, value: float, least: float, most: float) -> Iterator[str]:
    if not (math.isfinite(value) and least <= value <= most):
        if math.isinf(least):
            expected = "a finite number"
        elif math.isinf(most):
            expected = f"a finite number of at least {least:g}"
        else:
            expected = f"a number from {least:g} to {most:g}"
        yield f"{name}: expected {expected}, got {value:g}"
