"""(pure) How likely tokens are to the model itself: log-softmax of its logits as they came.

Before temperature, penalties, bias and grammar, so that a token's log-probability does not
depend on how it was chosen; vLLM does the same unless told otherwise.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.agent.generation.sampling import most_likely
from services.agent.generation.steps import TokenLogprobs


def logprobs_of(
    logits: NDArray[np.float32], tokens: Sequence[int], top: int
) -> list[TokenLogprobs]:
    """Of each token by its own row of ``logits`` [N, V], with ``top`` alternatives.

    Rank 1 is the most likely token; equally likely ones have the same rank.
    """
    wide = logits.astype(np.float64)
    peaks = wide.max(axis=-1, keepdims=True)
    wide -= peaks + np.log(np.exp(wide - peaks).sum(axis=-1, keepdims=True))
    told = []
    for logprobs, token in zip(wide, tokens, strict=True):
        own = float(logprobs[token])
        rank = 1 + int(np.count_nonzero(logprobs > own))
        ids = most_likely(logprobs, top) if top else np.empty(0, np.intp)
        told.append(TokenLogprobs(own, rank, ids.tolist(), logprobs[ids].tolist()))
    return told
