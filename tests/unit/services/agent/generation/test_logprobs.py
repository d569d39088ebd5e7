"""Log-probabilities are those of the model: a softmax over all tokens, whatever was asked for."""

import numpy as np
from scipy.special import log_softmax

from services.agent.generation.logprobs import logprobs_of
from services.agent.generation.steps import Forward, Sampling
from tests.support.language import Engine, load, only, toy, whole_text


def test_they_are_a_log_softmax():
    logits = np.random.default_rng(0).normal(0, 5, (6, 50)).astype(np.float32)
    expected = log_softmax(logits.astype(np.float64), axis=-1)
    tokens = [0, 49, 7, 7, 20, 3]
    for row, told in enumerate(logprobs_of(logits, tokens, 50)):
        np.testing.assert_allclose(told.logprob, expected[row, tokens[row]], rtol=1e-9)
        order = np.argsort(-logits[row], kind="stable").tolist()
        assert told.ids == order
        assert told.rank == order.index(tokens[row]) + 1
        np.testing.assert_allclose(told.logprobs, expected[row][order], rtol=1e-9)
        np.testing.assert_allclose(np.exp(told.logprobs).sum(), 1.0, rtol=1e-9)


def test_there_are_as_many_alternatives_as_were_asked_for():
    logits = np.array([[1, 3, 2, 3]], np.float32)
    for top, ids in ((0, []), (1, [1]), (3, [1, 3, 2]), (9, [1, 3, 2, 0])):
        (told,) = logprobs_of(logits, [3], top)
        assert told.ids == ids
        assert told.rank == 1  # equally likely ones share a rank


def test_large_logits_and_impossible_tokens():
    logits = np.array([[1e4, 1e4 + 1, -np.inf]], np.float32)
    (told,) = logprobs_of(logits, [2], 3)
    assert told.logprob == -np.inf
    np.testing.assert_allclose(np.exp(told.logprobs).sum(), 1.0)


def test_they_do_not_depend_on_how_the_token_is_chosen(tmp_path):
    sampling = Sampling(
        temperature=4.0, top_k=3, repetition_penalty=1.7, logit_bias={8: 20.0}, logprobs=2, seed=1
    )
    engine = Engine(load(toy(tmp_path)))
    engine.send(starts=[engine.start(0, [4, 5], sampling)])
    chosen = only(engine.send(prefills=[Forward(0, [engine.row(0, 8)])]))
    expected = log_softmax(whole_text()((4, 5))[-1].astype(np.float64))
    (told,) = chosen.logprobs
    np.testing.assert_allclose(told.logprob, expected[chosen.tokens[0]], rtol=1e-6)
    np.testing.assert_allclose(told.logprobs, np.sort(expected)[::-1][:2], rtol=1e-6)
    assert told.rank == 1 + np.sum(expected > expected[chosen.tokens[0]])


def test_each_token_that_was_speculated_about_has_its_own(tmp_path):
    engine = Engine(load(toy(tmp_path)))
    sampling = Sampling(logprobs=1)
    engine.send(starts=[engine.start(0, [4, 5], sampling), engine.start(1, [4, 5], sampling)])
    one_by_one = []
    engine.send(prefills=[Forward(0, [engine.row(0, 8)])])
    first = engine.texts[0][2]
    for _ in range(3):
        one_by_one += only(engine.send(decode=Forward(1, [engine.row(0)]))).logprobs
    guess = engine.texts[0][2:5]
    told = only(engine.send(prefills=[Forward(0, [engine.row(1, 2, guess)])]))
    assert told.tokens == [first, *engine.texts[0][3:6]]
    assert told.logprobs[1:] == one_by_one
