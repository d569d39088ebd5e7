"""Tokens are chosen as plain formulas say, and drawn as often as they should be."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from services.agent.generation.draws import draw
from services.agent.generation.sampling import (
    Chooser,
    NoNumbers,
    NoToken,
    drawn,
    drawn_of_sorted,
    most_likely,
)
from services.agent.generation.steps import Sampling

V = 12
LOGITS = np.array([1.5, -2, 0.3, 3.1, 3.0, 0.3, -7, 2.2, 1.1, 0, -1, 2.2], np.float32)


def chosen(sampling, logits=LOGITS, prompt=(0,), generated=(), grammar=None, place=None):
    chooser = Chooser(sampling, V, prompt, generated)
    return chooser.choose(logits, place or len(prompt) + len(generated), grammar)


def shares(sampling, prompt=(), generated=(), logits=LOGITS):
    """What the probability of each token is, by the definitions, token by token."""
    scores = [float(each) for each in logits]
    for token in range(V):
        if sampling.allowed_ids and token not in sampling.allowed_ids:
            scores[token] = -math.inf
        if token in sampling.stop_ids and len(generated) < sampling.min_tokens:
            scores[token] = -math.inf
        scores[token] += sampling.logit_bias.get(token, 0.0)
        if token in (*prompt, *generated):
            penalty = sampling.repetition_penalty
            scores[token] *= 1 / penalty if scores[token] > 0 else penalty
        count = list(generated).count(token)
        scores[token] -= sampling.frequency_penalty * count
        scores[token] -= sampling.presence_penalty * (count > 0)
    weights = [math.exp(each / sampling.temperature) for each in scores]
    most = max(weights)
    weights = [each if each >= sampling.min_p * most else 0.0 for each in weights]
    order = sorted(range(V), key=lambda token: (-weights[token], token))
    kept = order[: sampling.top_k or V]
    total = sum(weights[token] for token in kept)
    nucleus, mass = [], 0.0
    for token in kept:
        if mass >= sampling.top_p * total and sampling.top_p < 1:
            break
        nucleus.append(token)
        mass += weights[token]
    return np.array([weights[t] / mass if t in nucleus else 0.0 for t in range(V)])


CASES = {
    "temperature": Sampling(temperature=1.0),
    "hotter": Sampling(temperature=2.5),
    "colder": Sampling(temperature=0.3),
    "top_k": Sampling(temperature=1.0, top_k=4),
    "top_k_in_the_midst_of_equal_ones": Sampling(temperature=1.0, top_k=3),
    "top_p": Sampling(temperature=1.0, top_p=0.7),
    "min_p": Sampling(temperature=1.0, min_p=0.2),
    "all_of_them": Sampling(temperature=1.4, top_k=6, top_p=0.8, min_p=0.1),
    "repetition": Sampling(temperature=1.0, repetition_penalty=1.8),
    "rewarded": Sampling(temperature=1.0, repetition_penalty=0.7),
    "presence": Sampling(temperature=1.0, presence_penalty=1.2),
    "frequency": Sampling(temperature=1.0, frequency_penalty=0.7),
    "bias": Sampling(temperature=1.0, logit_bias={3: -100.0, 10: 4.0}),
    "allowed": Sampling(temperature=1.0, allowed_ids=(1, 5, 6, 9)),
    "no_stop_yet": Sampling(temperature=1.0, stop_ids=(3, 4), min_tokens=9),
    "penalties_and_nucleus": Sampling(
        temperature=0.8, repetition_penalty=1.3, frequency_penalty=0.4, top_p=0.9, top_k=9
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_tokens_are_drawn_as_often_as_they_should_be(name):
    sampling, prompt, generated = CASES[name], (3, 6, 8), (7, 7, 4, 1)
    chooser = Chooser(sampling, V, prompt, generated)
    count = 4000
    found = Counter(chooser.choose(LOGITS, place) for place in range(count))
    expected = shares(sampling, prompt, generated)
    possible = np.flatnonzero(expected)
    assert found.keys() <= set(possible.tolist())
    # Rare ones are counted together, as the test wants it.
    often = [token for token in possible if expected[token] * count >= 8]
    seen = [found[token] for token in often]
    awaited = [expected[token] * count for token in often]
    if len(often) < len(possible):
        seen.append(count - sum(seen))
        awaited.append(count - sum(awaited))
    assert chisquare(seen, np.array(awaited) * count / sum(awaited)).pvalue > 1e-3


@given(
    st.lists(st.floats(-20, 20, width=32), min_size=V, max_size=V),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from(sorted(CASES)),
)
def test_no_chance_draws_a_token_that_is_left_out(logits, chance, name):
    scores = np.array(logits, np.float32)
    sampling = Sampling(
        temperature=CASES[name].temperature,
        top_k=CASES[name].top_k,
        top_p=CASES[name].top_p,
        min_p=CASES[name].min_p,
    )
    token = drawn(scores, sampling, chance)
    assert 0 <= token < V
    if sampling.top_k:
        assert token in most_likely(scores, sampling.top_k)
    weight = math.exp((float(scores[token]) - float(scores.max())) / sampling.temperature)
    assert weight >= sampling.min_p * (1 - 1e-9)
    assert weight > 0


@given(
    st.lists(st.integers(-5, 5), min_size=V, max_size=V),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, V),
    st.floats(0.05, 1.0),
    st.floats(0, 1),
)
def test_drawing_from_sorted_logits_finds_the_same_token(logits, chance, top_k, top_p, min_p):
    scores = np.array(logits, np.float32)
    sampling = Sampling(temperature=1.3, top_k=top_k, top_p=top_p, min_p=min_p)
    order = np.argsort(-scores, kind="stable")[:top_k]
    found = order[drawn_of_sorted(scores[order], sampling, chance)]
    assert found == drawn(scores, sampling, chance)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=30), st.integers(1, 40))
def test_the_most_likely_are_found_in_order_and_of_equal_ones_the_first(weights, count):
    expected = sorted(range(len(weights)), key=lambda each: (-weights[each], each))[:count]
    assert most_likely(np.array(weights, np.float32), count).tolist() == expected


def test_the_token_that_crosses_the_line_is_kept():
    logits = np.log(np.array([0.5, 0.3, 0.2] + [1e-30] * 9, np.float32))
    for top_p, kept in ((0.4, 1), (0.5, 1), (0.51, 2), (0.8, 2), (0.81, 3)):
        sampling = Sampling(temperature=1.0, top_p=top_p)
        found = {drawn(logits, sampling, chance) for chance in np.linspace(0, 0.999, 200)}
        assert found == set(range(kept)), top_p


def test_the_largest_of_all_chances_draws_a_token_that_may_be():
    for seed in range(300):
        logits = np.random.default_rng(seed).normal(size=V).astype(np.float32)
        logits[-3:] = -np.inf
        for sampling in (Sampling(temperature=1.0), Sampling(temperature=1.0, top_p=0.99)):
            assert drawn(logits, sampling, 1 - 2**-53) < V - 3


def test_without_a_temperature_it_is_the_most_likely_one():
    assert chosen(Sampling()) == 3
    assert chosen(Sampling(logit_bias={3: -0.2})) == 4
    assert chosen(Sampling(allowed_ids=(1, 7, 11))) == 7
    assert chosen(Sampling(presence_penalty=0.2), generated=(3,)) == 4
    assert chosen(Sampling(frequency_penalty=0.06), generated=(3, 3, 1)) == 4
    # A repetition counts wherever it was; presence and frequency only what was generated.
    assert chosen(Sampling(repetition_penalty=1.1), prompt=(3,)) == 4
    assert chosen(Sampling(presence_penalty=2.0, frequency_penalty=2.0), prompt=(3,)) == 3


def test_no_stop_id_comes_before_so_many_tokens_were_generated():
    sampling = Sampling(stop_ids=(3, 4), min_tokens=2)
    assert chosen(sampling, generated=(1,)) == 7
    assert chosen(sampling, generated=(1, 1)) == 3


def test_a_sequence_becomes_plain_when_only_min_tokens_were_in_the_way():
    chooser = Chooser(Sampling(stop_ids=(3,), min_tokens=1), V, (0,), ())
    assert not chooser.plain
    chooser.took(4)
    assert chooser.plain


def test_what_was_chosen_counts():
    chooser = Chooser(Sampling(frequency_penalty=0.5, repetition_penalty=1.01), V, (0,), ())
    assert [_take(chooser, place) for place in range(5)] == [3, 4, 3, 4, 7]


def _take(chooser, place):
    token = chooser.choose(LOGITS, place)
    chooser.took(token)
    return token


def test_the_grammar_and_what_is_allowed_count_together():
    grammar = np.zeros(V, np.bool_)
    grammar[[5, 7]] = True
    assert chosen(Sampling(), grammar=grammar) == 7
    assert chosen(Sampling(allowed_ids=(5, 3)), grammar=grammar) == 5
    for temperature in (0.0, 1.0):
        with pytest.raises(NoToken, match="no token is allowed"):
            chosen(Sampling(temperature=temperature, allowed_ids=(3,)), grammar=grammar)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logits_that_are_no_numbers_are_not_chosen_by(value):
    logits = LOGITS.copy()
    logits[:] = value if value == -np.inf else logits
    logits[5] = value
    with pytest.raises(NoNumbers, match=f"largest logit is {value}"):
        chosen(Sampling(), logits)


def test_tokens_that_the_model_rules_out_are_never_drawn():
    logits = np.full(V, -np.inf, np.float32)
    logits[[2, 9]] = 1.0, 2.0
    sampling = Sampling(temperature=1.0, repetition_penalty=1.5, logit_bias={4: 5.0})
    chooser = Chooser(sampling, V, (4,), ())
    assert {chooser.choose(logits, place) for place in range(200)} == {2, 9}


def test_a_very_small_temperature_is_greedy():
    assert {chosen(Sampling(temperature=1e-30), place=n) for n in range(1, 50)} == {3}


def test_logits_are_left_as_they_are():
    logits = LOGITS.copy()
    chosen(
        Sampling(temperature=1.0, logit_bias={1: 3.0}, repetition_penalty=2.0, min_tokens=4,
                 stop_ids=(2,), presence_penalty=1.0),
        logits,
        generated=(5,),
    )  # fmt: skip
    np.testing.assert_array_equal(logits, LOGITS)


def test_draws_are_uniform_over_places_and_over_seeds():
    assert kstest([draw(7, place) for place in range(3000)], "uniform").pvalue > 1e-3
    assert kstest([draw(seed, 7) for seed in range(3000)], "uniform").pvalue > 1e-3
    assert draw(2**64 - 1, 2**32) != draw(2**64 - 1, 2**32 - 1)


def test_draws_are_numpys_own():
    for seed, place in ((0, 0), (7, 3), (2**64 - 1, 100_000)):
        philox = np.random.Philox(key=seed, counter=[0, place, 0, 0])
        assert draw(seed, place) == np.random.Generator(philox).random()
