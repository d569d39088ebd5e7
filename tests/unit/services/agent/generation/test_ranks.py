"""Ranks of one language model: one chooses, the others follow by what they are told."""

import re
from dataclasses import replace

import numpy as np
import pytest

from services.agent.generation.steps import Chosen, Forward, Grammar, Row, Sampling, Start, Step
from shared.errors import InvalidRequest, LoadFailed
from shared.membership import GangPart
from tests.support.language import (
    GREEDY,
    VOCABULARY,
    Engine,
    Ranks,
    bytes_tokenizer,
    load,
    recomputed,
    toy,
)

PROMPT = [5, 9, 2]
SAMPLED = Sampling(temperature=3.0, top_k=20, seed=11, frequency_penalty=0.5)


def part(rank):
    return GangPart(1, rank, 2, rank, 2)


@pytest.fixture
def ranks(tmp_path):
    return Ranks(toy(tmp_path, [(2, 8, 32)]), 3)


@pytest.fixture
def follower(tmp_path):
    """Rank 1, which waits to be told what follows PROMPT in slot 0."""
    model = load(toy(tmp_path, [(2, 8, 32)]), part(1))
    start = Start(0, list(PROMPT), [], 3, 0, GREEDY)
    rows = [Row(0, 0, 3, samples=True)]
    assert model.apply(Step(1, True, starts=[start], prefills=[Forward(0, rows)])).chosen == []
    return model


def decode(position, *, number, told, speculated=()):
    rows = [Row(0, position, 1, speculated, samples=True)]
    if speculated:
        return Step(number, prefills=[Forward(0, rows)], told=told)
    return Step(number, decode=Forward(1, rows), told=told)


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_texts_are_those_of_a_model_alone(tmp_path, ranks, sampling):
    alone, together = Engine(load(toy(tmp_path, [(2, 8, 32)]))), Engine(ranks)
    for engine in (alone, together):
        engine.send(starts=[engine.start(0, PROMPT, sampling), engine.start(3, [7], sampling)])
        engine.send(prefills=[Forward(0, [engine.row(3, 8)])])
        engine.run(0, 8, decode=1, chunk=2)
    assert together.texts == alone.texts
    if sampling is GREEDY:
        assert together.texts[0] == PROMPT + recomputed(PROMPT, 8)


def test_speculated_tokens_are_kept_by_all_ranks_as_far_as_one_of_them_keeps_them(ranks):
    engine = Engine(ranks)
    expected = recomputed(PROMPT, 10)
    engine.send(starts=[engine.start(0, PROMPT)], prefills=[])
    engine.send(prefills=[Forward(0, [engine.row(0, 8)])])
    for right in (3, 0, 2):
        made = len(engine.texts[0]) - len(PROMPT)
        wrong = (expected[made + right] + 1) % VOCABULARY
        speculated = (*expected[made : made + right], wrong)
        engine.send(prefills=[Forward(0, [engine.row(0, 1, speculated)])])
        engine.computed[0] += right
    engine.send(decode=Forward(1, [engine.row(0)]))
    assert engine.texts[0] == PROMPT + expected


def test_a_rank_that_does_not_know_yet_keeps_what_was_speculated(tmp_path):
    """The cache is moved before the others hear which tokens were kept."""
    files = toy(tmp_path, [(1, 8, 8), (1, 8, 24)], [(4, 1, 8), (4, 1, 24)])
    engine = Engine(Ranks(files))
    expected = recomputed(PROMPT, 8)
    starts = [engine.start(0, PROMPT), engine.start(1, range(15))]
    rows = [Forward(0, [engine.row(slot, 8)]) for slot in (0, 1)]
    engine.send(starts=starts, prefills=rows)
    # Both in one step: slot 0 keeps four of four, then slot 1 makes the cache longer.
    rows = [Forward(0, [engine.row(0, 1, expected[1:5])]), Forward(1, [engine.row(1, 8)])]
    engine.send(prefills=rows)
    engine.computed[0] += 4
    engine.send(decode=Forward(3, [engine.row(0)]))
    assert engine.texts[0] == PROMPT + expected[:7]


def test_only_the_rank_that_chooses_needs_a_tokenizer_and_grammars_are_kept(tmp_path):
    vocabulary = 300
    tokenizer = bytes_tokenizer(tmp_path)
    files = toy(tmp_path, [(2, 8, 32)], vocabulary=vocabulary, tokenizer=str(tokenizer))
    gone = toy(tmp_path, [(2, 8, 32)], vocabulary=vocabulary, tokenizer="/there/is/none.json")
    ranks = Ranks(files)
    ranks.models[1] = load(gone, part(1))
    engine = Engine(ranks)
    kept = replace(GREEDY, grammar=Grammar("regex", ("[ab]{3}c",)))
    engine.send(starts=[engine.start(0, [7], kept)])
    outcomes = [engine.send(prefills=[Forward(0, [engine.row(0, 8)])])]
    while not outcomes[-1].chosen[0].complete:
        outcomes.append(engine.send(decode=Forward(1, [engine.row(0)])))
    assert re.fullmatch("[ab]{3}c", bytes(engine.texts[0][1:]).decode())
    # They know that it ended, and its slot is free for the next one.
    engine.send(freed=[0], starts=[engine.start(0, PROMPT)])
    engine.send(prefills=[Forward(0, [engine.row(0, 8)])])
    assert all(model._slots[0].tokens[:3] == PROMPT for model in ranks.models)


def test_a_rank_on_another_machine_has_a_tokenizer_beside_its_files(tmp_path):
    vocabulary = 300
    files = toy(tmp_path, vocabulary=vocabulary, tokenizer="/of/the/worker/tokenizer.json")
    with pytest.raises(LoadFailed, match="tokenizer"):
        load(files, part(0))
    bytes_tokenizer(tmp_path)
    assert load(files, part(0))._grammars is not None


def counted(model):
    """How often each graph of a model is called."""
    calls = []
    execute = model._calls._model.execute
    model._calls._model.execute = lambda number, inputs: (
        calls.append(number) or execute(number, inputs)
    )
    return calls


def test_all_ranks_call_the_same_graphs_though_one_alone_knows_that_a_text_ended(tmp_path):
    files = toy(tmp_path, [(2, 8, 32)], tokenizer=str(bytes_tokenizer(tmp_path)), vocabulary=300)
    ranks = Ranks(files)
    calls = [counted(model) for model in ranks.models]
    engine = Engine(ranks)
    broken = replace(GREEDY, grammar=Grammar("regex", ("(",)))
    start = engine.start(0, [7], broken)
    outcome = engine.send(starts=[start], prefills=[Forward(0, [engine.row(0, 8)])])
    assert "regex" in outcome.chosen[0].failure
    assert outcome.chosen[0].tokens == []
    assert calls == [[0], [0]]
    engine.send()
    assert ranks.models[1]._slots[0].failure == outcome.chosen[0].failure
    # What every rank finds wrong none of them computes: its tokens are none of the model's.
    other = engine.start(1, [999], GREEDY)
    engine.send(starts=[other], prefills=[Forward(0, [engine.row(1, 8)])])
    assert calls == [[0], [0]]


def test_what_is_no_number_is_wiped_out_by_all_ranks(ranks):
    engine = Engine(ranks)
    for model in ranks.models:
        execute = model._calls._model.execute
        model._calls._model.execute = lambda number, inputs, execute=execute: [
            np.full_like(each, np.nan) if each.dtype == np.float32 else each
            for each in execute(number, inputs)
        ]
    start = engine.start(0, PROMPT)
    outcome = engine.send(starts=[start], prefills=[Forward(0, [engine.row(0, 8)])])
    assert "no numbers" in outcome.chosen[0].failure
    engine.send(freed=[0])
    for model in ranks.models:
        assert not any(np.isnan(array).any() for array in model._cache.arrays)


TOKEN = recomputed(PROMPT, 1)[0]
WRONG = {
    "nothing": ([], "was not told which token follows in slot 0"),
    "no slot": ([Chosen(0, [TOKEN]), Chosen(9, [1])], "slot 9: was told tokens, but none were"),
    "a slot that chose nothing": (
        [Chosen(0, [TOKEN]), Chosen(2, [1])],
        "slot 2: was told tokens, but none were to be chosen",
    ),
    "a failure of nobody": ([Chosen(0, [TOKEN]), Chosen(3, failure="x")], "slot 3 has no sequence"),
    "more than one": ([Chosen(0, [TOKEN, 4])], "should be the first of those speculated: []"),
    "no token": ([Chosen(0, [VOCABULARY])], f"expected ids below {VOCABULARY}, got {VOCABULARY}"),
}


@pytest.mark.parametrize(("told", "words"), WRONG.values(), ids=WRONG)
def test_a_rank_that_is_told_what_cannot_be_refuses(follower, told, words):
    with pytest.raises(InvalidRequest, match=re.escape(words)) as refusal:
        follower.apply(decode(3, number=2, told=told))
    assert "model 'toy', step 2" in str(refusal.value)
    with pytest.raises(InvalidRequest, match="expected one that forgets"):
        follower.apply(decode(3, number=2, told=[Chosen(0, [TOKEN])]))


def test_speculated_tokens_that_were_not_proposed_are_refused(follower):
    expected = recomputed(PROMPT, 4)
    told = [Chosen(0, [TOKEN])]
    follower.apply(decode(3, number=2, told=told, speculated=(expected[1], 9)))
    with pytest.raises(InvalidRequest, match="first of those speculated"):
        follower.apply(decode(4, number=3, told=[Chosen(0, [8, expected[2]])]))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([Chosen(0, [TOKEN + 1])], rf"was told tokens \[{TOKEN + 1}\], chose tokens \[{TOKEN}\]"),
        ([], rf"was told nothing, chose tokens \[{TOKEN}\]"),
        ([Chosen(0, [TOKEN], complete=True)], "and nothing more, chose"),
        ([Chosen(0, failure="lost")], "was told lost, chose"),
    ],
)
def test_the_rank_that_chose_refuses_another_choice(tmp_path, told, words):
    model = load(toy(tmp_path, [(2, 8, 32)]), part(0))
    start = Start(0, list(PROMPT), [], 3, 0, GREEDY)
    rows = [Row(0, 0, 3, samples=True)]
    model.apply(Step(1, True, starts=[start], prefills=[Forward(0, rows)]))
    with pytest.raises(InvalidRequest, match=words):
        model.apply(decode(3, number=2, told=told))


def test_a_model_without_other_ranks_is_told_nothing(tmp_path):
    model = load(toy(tmp_path))
    with pytest.raises(InvalidRequest, match="chooses them itself"):
        model.apply(Step(1, True, told=[Chosen(0, [1])]))


def test_a_step_that_forgets_tells_nothing_of_what_was_before(follower):
    with pytest.raises(InvalidRequest, match="none were to be chosen"):
        follower.apply(Step(7, True, told=[Chosen(0, [TOKEN])]))
    assert follower.apply(Step(9, True)).id == 9
