"""A toy language model in NumPy, with the graphs of a real one.

Each token's keys and values are numbers made of the token, its position and everything before
it in the text, as the cache and the call tell it; so whatever goes wrong with a cache changes
the tokens that follow. Numbers are whole and small enough for float32 to hold them exactly:
the same text has the same logits, however it was cut into calls.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from shared.membership import SubgraphSignature
from shared.tensors import Array

Function = Callable[..., list[Array]]
Whole = NDArray[np.int64]

# Primes: what is multiplied by less than one of them, modulo it, is only 0 where a factor is.
_MOST, _MOST_LOGIT = 4093, 65521
# Logits go up to 16.
_LOGIT_UNIT = np.float32(2.0**-12)


def language(signature: SubgraphSignature) -> Function:
    """A graph for prompts or for decoding, of the dims that its inputs and outputs have."""
    vocabulary = signature.outputs[0].dims[-1]
    inputs = 2 + 2 * ((len(signature.outputs) - 1) // 2)
    fused = len(signature.outputs) % 2 == 0

    def run(*arrays: Array) -> list[Array]:
        tokens, positions, *caches = (np.asarray(each) for each in arrays[:inputs])
        adapter = np.asarray(arrays[inputs]) if len(arrays) > inputs else np.zeros(len(tokens))
        logits, new = _extend(
            tokens.astype(np.int64), positions.astype(np.int64), caches, adapter, vocabulary
        )
        return [logits, *new, *([logits.argmax(-1).astype(np.int32)] if fused else [])]

    return run


def argmax(signature: SubgraphSignature) -> Function:
    """Logits [N, V] to ids [N]."""
    del signature
    return lambda logits: [logits.argmax(-1).astype(np.int32)]


def topk(signature: SubgraphSignature) -> Function:
    """Logits [N, V] to the largest [N, K] and their ids."""
    count = signature.outputs[0].dims[-1]

    def run(logits: Array) -> list[Array]:
        scores = logits.astype(np.float32)
        ids = np.argsort(-scores, axis=-1, kind="stable")[:, :count]
        return [np.take_along_axis(scores, ids, -1), ids.astype(np.int32)]

    return run


def _extend(
    tokens: Whole, positions: Whole, caches: list[Array], adapter: Array, vocabulary: int
) -> tuple[Array, list[Array]]:
    """Logits [B, T, V], and new keys and values [B, H, T, D] of each layer."""
    caches = [each.swapaxes(1, 2) for each in caches]
    length, *heads = caches[0].shape[1:]
    weights = 3 + np.arange(np.prod(heads), dtype=np.int64).reshape(heads)
    first = np.where(positions >= 0, positions, 1 << 30).min(1)
    cached = np.arange(length) < first[:, None]
    # Which token of the call sees which one.
    seen = (positions[:, None, :] >= 0) & (positions[:, None, :] <= positions[:, :, None])
    x = (tokens * 1009 + adapter.astype(np.int64)[:, None] * 97 + 11) % _MOST
    new: list[Array] = []
    for layer in range(len(caches) // 2):
        place = positions[..., None, None] * 31 + layer * 17
        keys = (x[..., None, None] * weights + place + 7) % _MOST
        values = (x[..., None, None] * (weights + 2) + place * 3 + 5) % _MOST
        new += [each.swapaxes(1, 2).astype(np.float32) for each in (keys, values)]
        kept = [_whole(caches[2 * layer + part], cached) % _MOST for part in range(2)]
        # What the cache says of each place, and what the call does.
        of_cache = _told(kept[0], kept[1], np.arange(length), weights)
        of_call = _told(keys, values, positions, weights)
        context = np.where(cached, of_cache, 0).sum(1)[:, None] + (seen * of_call[:, None]).sum(2)
        x = (x * 5 + context % _MOST + layer) % _MOST
    logits = (x[..., None] * 7919 + np.arange(vocabulary) * 40503 + 1) % _MOST_LOGIT
    # As in a real one, what a row does not see counts 0 times: that is 0 only of numbers.
    unseen = sum(cache.reshape(len(cache), -1).sum(1) * np.float32(0) for cache in caches)
    return logits.astype(np.float32) * _LOGIT_UNIT + unseen[:, None, None], new


def _whole(cache: Array, valid: NDArray[np.bool_]) -> Whole:
    """What lies where nothing was computed is nothing that anybody may look at."""
    looked_at = valid[..., None, None] & np.isfinite(cache)
    whole: Whole = np.where(looked_at, cache, 0).astype(np.int64)
    return whole


def _told(keys: Whole, values: Whole, places: Whole, weights: Whole) -> Whole:
    """One number for each place, of all of its keys and values and where it is."""
    told: Whole = (keys * weights + values * (weights * weights + 1)).sum((-1, -2))
    mixed: Whole = (told % _MOST) * (places + 1) % _MOST
    return mixed
