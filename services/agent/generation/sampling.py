"""(pure) Chooses a token by one row of logits.

In this order, as vLLM does: what may be chosen (allowed ids, the grammar, no stop id before
``min_tokens``), bias, penalties; then the most likely token, or with a temperature: min-p,
top-k, top-p and a draw.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.agent.generation.draws import draw
from services.agent.generation.steps import Sampling

Floats = NDArray[np.float32]
Ids = NDArray[np.intp]
Mask = NDArray[np.bool_]


class NoToken(ValueError):
    """No token can be chosen; the text says why."""


class NoNumbers(NoToken):
    """The model's logits are none."""


class Chooser:
    """How one sequence's tokens are chosen; it counts the tokens that were."""

    def __init__(
        self, sampling: Sampling, vocabulary: int, prompt: Sequence[int], generated: Sequence[int]
    ) -> None:
        self._sampling = sampling
        self._vocabulary = vocabulary
        self._generated = len(generated)
        self._stop_ids = _ids(sampling.stop_ids)
        self._allowed: Mask | None = None
        if sampling.allowed_ids:
            self._allowed = np.zeros(vocabulary, np.bool_)
            self._allowed[_ids(sampling.allowed_ids)] = True
        self._biased = _ids(list(sampling.logit_bias))
        self._bias = np.array(list(sampling.logit_bias.values()), np.float32)
        self._seen: Mask | None = None
        self._counts: Floats | None = None
        if sampling.repetition_penalty != 1.0:
            self._seen = np.zeros(vocabulary, np.bool_)
            self._seen[_ids(prompt)] = True
            self._seen[_ids(generated)] = True
        if sampling.presence_penalty or sampling.frequency_penalty:
            counts = np.bincount(_ids(generated), minlength=vocabulary)
            self._counts = counts.astype(np.float32)

    @property
    def plain(self) -> bool:
        """Whether it is simply the most likely token, now and ever after."""
        return not self._sampling.temperature and self._takes_logits_as_they_are()

    def drawn_from_top(self, count: int) -> bool:
        """Whether it is drawn from the ``count`` most likely tokens by the logits as they are."""
        sampling = self._sampling
        return (
            bool(sampling.temperature)
            and 0 < sampling.top_k <= count
            and self._takes_logits_as_they_are()
        )

    def _takes_logits_as_they_are(self) -> bool:
        return (
            self._generated >= self._sampling.min_tokens
            and self._allowed is None
            and not self._biased.size
            and self._seen is None
            and self._counts is None
            and self._sampling.grammar is None
        )

    def took(self, token: int) -> None:
        """This token follows."""
        self._generated += 1
        if self._seen is not None:
            self._seen[token] = True
        if self._counts is not None:
            self._counts[token] += 1

    def choose(self, logits: Floats, place: int, grammar: Mask | None = None) -> int:
        """The token at a place of the sequence; ``logits`` [V] are left as they are.

        Raises NoToken when nothing is allowed, NoNumbers when logits are none.
        """
        check_numbers(float(logits.max()))
        if grammar is None and self._takes_logits_as_they_are():
            scores = logits
        else:
            scores = self._penalised(self._restricted(logits, grammar))
        temperature = self._sampling.temperature
        token = (
            drawn(scores, self._sampling, draw(self._sampling.seed, place))
            if temperature
            else int(scores.argmax())
        )
        if scores[token] == -np.inf:
            raise NoToken("no token is allowed here")
        return token

    def choose_of_sorted(self, scores: Floats, place: int) -> int:
        """Which of the most likely tokens it is, by their logits, the largest first.

        For those that are ``drawn_from_top``: the same token as ``choose`` finds.
        """
        check_numbers(float(scores[0]))
        chance = draw(self._sampling.seed, place)
        return drawn_of_sorted(scores[: self._sampling.top_k], self._sampling, chance)

    def _restricted(self, logits: Floats, grammar: Mask | None) -> Floats:
        allowed = self._allowed
        if grammar is not None:
            allowed = grammar if allowed is None else allowed & grammar
        scores = logits.copy() if allowed is None else np.where(allowed, logits, -np.inf)
        if self._generated < self._sampling.min_tokens:
            scores[self._stop_ids] = -np.inf
        return scores.astype(np.float32, copy=False)

    def _penalised(self, scores: Floats) -> Floats:
        sampling = self._sampling
        if self._biased.size:
            scores[self._biased] += self._bias
        if self._seen is not None:
            seen = scores[self._seen]
            penalty = np.float32(sampling.repetition_penalty)
            scores[self._seen] = np.where(seen > 0, seen / penalty, seen * penalty)
        if self._counts is not None:
            scores -= sampling.frequency_penalty * self._counts
            scores -= sampling.presence_penalty * (self._counts > 0)
        return scores


def drawn(scores: Floats, sampling: Sampling, chance: float) -> int:
    """A token by its share among those that min-p, top-k and top-p leave; by ``chance`` in [0, 1).

    Raises NoToken when every score is -inf.
    """
    if sampling.top_k:
        order = most_likely(scores, sampling.top_k)
        return int(order[drawn_of_sorted(scores[order], sampling, chance)])
    weights = _weights(scores, float(scores.max()), sampling)
    if sampling.top_p >= 1.0:
        return _at(np.cumsum(weights), chance)
    # What weighs less than this is left out in any case: all of it together is less than what
    # top-p leaves out.
    ids = np.flatnonzero(weights >= (1.0 - sampling.top_p) * weights.sum() / len(weights))
    ids = ids[np.argsort(-weights[ids], kind="stable")]
    return int(ids[_at(_nucleus(weights[ids], sampling.top_p * weights.sum()), chance)])


def drawn_of_sorted(scores: Floats, sampling: Sampling, chance: float) -> int:
    """The place of a token drawn from scores, the largest first; min-p and top-p as above."""
    weights = _weights(scores, float(scores[0]), sampling)
    if sampling.top_p >= 1.0:
        return _at(np.cumsum(weights), chance)
    return _at(_nucleus(weights, sampling.top_p * weights.sum()), chance)


def _nucleus(weights: NDArray[np.float64], mass: float) -> NDArray[np.float64]:
    """The largest weights, cumulated, up to the token that crosses the line, which is kept."""
    cumulated = np.cumsum(weights)
    return cumulated[: int(np.searchsorted(cumulated, mass)) + 1]


def _weights(scores: Floats, peak: float, sampling: Sampling) -> NDArray[np.float64]:
    """Shares of which the largest is 1, without those that min-p leaves out.

    Raises NoToken when even the peak is -inf.
    """
    if peak == -np.inf:
        raise NoToken("no token is allowed here")
    weights: NDArray[np.float64] = np.exp((scores.astype(np.float64) - peak) / sampling.temperature)
    if sampling.min_p:
        weights[weights < sampling.min_p] = 0.0
    return weights


def most_likely(weights: NDArray[np.float32] | NDArray[np.float64], count: int) -> Ids:
    """The ids of the largest weights, the largest first, of equal ones the smaller id."""
    if count >= len(weights):
        return np.argsort(-weights, kind="stable")
    # The least that is large enough; more may be equal to it.
    least = np.partition(weights, -count)[-count]
    ids = np.flatnonzero(weights >= least)
    return ids[np.argsort(-weights[ids], kind="stable")][:count]


def check_numbers(peak: float) -> None:
    """Raises NoNumbers unless the largest logit is a number."""
    if not math.isfinite(peak):
        raise NoNumbers(f"the model gave no numbers: its largest logit is {peak}")


def _at(cumulated: NDArray[np.float64], chance: float) -> int:
    """Where a share of the whole lies; never on what weighs nothing."""
    # A number below 1 times the whole is below the whole, also when rounded.
    return int(np.searchsorted(cumulated, chance * cumulated[-1], side="right"))


def _ids(tokens: Sequence[int]) -> Ids:
    return np.array(tokens, np.intp)
