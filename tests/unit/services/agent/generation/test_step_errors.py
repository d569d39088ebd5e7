"""A step that does not fit what was done before is refused, and the message says where."""

import re

import pytest

from services.agent.generation.steps import Forward, Row, Sampling, Start, Step, StoreBlock
from shared.errors import ExecutionFailed, InvalidRequest
from tests.support.language import GREEDY, Engine, load, only, recomputed, toy


@pytest.fixture
def engine(tmp_path):
    """Slot 1 holds five tokens, three of which are computed; block 0 holds something."""
    engine = Engine(load(toy(tmp_path, [(2, 8, 12)], [(4, 1, 8), (4, 1, 16)], block_size=2,
                             blocks=3)))  # fmt: skip
    engine.send(starts=[engine.start(1, [1, 2, 3, 4, 5])])
    engine.send(prefills=[Forward(0, [engine.row(1, 3)])])
    engine.send(stores=[StoreBlock(1, 0, 0)])
    return engine


def start(slot=0, tokens=(1, 2, 3), blocks=(), prompt_tokens=1, adapter=0):
    return {"starts": [Start(slot, list(tokens), list(blocks), prompt_tokens, adapter, GREEDY)]}


def prefill(*rows, graph=0):
    return {"prefills": [Forward(graph, [Row(*row) for row in rows])]}


WRONG = {
    "freed slot out of range": ({"freed": [4]}, "there is no slot 4, only 4 slots"),
    "freed slot without sequence": ({"freed": [0]}, "slot 0 has no sequence"),
    "freed twice": ({"freed": [1, 1]}, "slot 1 has no sequence"),
    "start out of range": (start(9), "there is no slot 9, only 4 slots"),
    "start of a taken slot": (start(1), "slot 1 has a sequence already"),
    "no prompt": (
        start(prompt_tokens=0),
        "slot 0: expected 1 to 3 of 3 tokens to be the prompt's, got 0",
    ),
    "no tokens": (
        start(tokens=()),
        "slot 0: expected 1 to 0 of 0 tokens to be the prompt's, got 1",
    ),
    "prompt too long": (start(prompt_tokens=4), "expected 1 to 3 of 3 tokens"),
    "adapter": (start(adapter=1), "slot 0: adapter 1, but graphs have no adapters"),
    "block out of range": (start(blocks=[3]), "slot 0: block 3 holds nothing"),
    "empty block": (start(blocks=[1]), "slot 0: block 1 holds nothing"),
    "more blocks than text": (
        start(tokens=[1, 2], blocks=[0]),
        "of 2 tokens, at least one of which must be computed, expected at most 0 blocks, got 1",
    ),
    "store out of range": (
        {"stores": [StoreBlock(1, 0, 3)]},
        "there is no block 3, only 3 blocks",
    ),
    "store of a free slot": ({"stores": [StoreBlock(0, 0, 0)]}, "slot 0 has no sequence"),
    "store of what is not full": (
        {"stores": [StoreBlock(1, 1, 0)]},
        "block 1 of slot 1 is not full: 3 tokens are in its cache, a block has 2",
    ),
    "graph": (prefill((1, 3, 1), graph=3), "there is no graph 3 for tokens, only 3"),
    "too many rows": (
        prefill((1, 3, 1), (1, 3, 1), (1, 3, 1)),
        "graph 0: expected at most 2 rows, got 3",
    ),
    "row of a free slot": (prefill((0, 3, 1)), "graph 0: slot 0 has no sequence"),
    "row out of range": (prefill((70, 3, 1)), "graph 0: there is no slot 70, only 4 slots"),
    "twice": (prefill((1, 3, 1), (1, 3, 1)), "graph 0: a slot is in several rows"),
    "position behind": (
        prefill((1, 4, 1)),
        "graph 0, slot 1: expected position 3, what is in the cache, got 4",
    ),
    "position before": (prefill((1, 2, 1)), "slot 1: expected position 3"),
    "nothing": (prefill((1, 3, 0)), "slot 1: expected 1 to 8 tokens, got 0 and 0 speculated"),
    "too much": (
        prefill((1, 3, 2, [7] * 7, True)),
        "slot 1: expected 1 to 8 tokens, got 2 and 7 speculated",
    ),
    "what is not known": (
        prefill((1, 3, 3)),
        "the last of the sequence's 5: got 3 from position 3 on, 0 speculated, without sampling",
    ),
    "sampled too early": (
        prefill((1, 3, 1, (), True)),
        "the last of the sequence's 5: got 1 from position 3 on, 0 speculated, with sampling",
    ),
    "speculated without sampling": (prefill((1, 3, 2, [7])), "1 speculated, without sampling"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_a_worker_can_get_wrong(engine, case):
    parts, expected = WRONG[case]
    where = f"model 'toy', step {engine.id + 1}"
    with pytest.raises(InvalidRequest, match=re.escape(expected)) as caught:
        engine.send(**parts)
    assert caught.value.message.startswith(where)
    # Nothing is kept after it, but a step that forgets is like the first.
    with pytest.raises(InvalidRequest, match="expected one that forgets"):
        engine.send(freed=[1])
    engine.send(forget=True, starts=[engine.start(1, [6, 7])])
    assert engine.run(1, 4, decode=2, chunk=8) == recomputed([6, 7], 4)


def test_a_text_longer_than_the_graph(engine):
    engine.run(1, 7, decode=2, chunk=2)
    with pytest.raises(InvalidRequest, match="at most 8 tokens in the cache, got 11"):
        engine.send(decode=Forward(1, [Row(1, 11, 1, (), True)]))


def test_a_step_that_does_not_follow_changes_nothing(engine):
    for wrong in (engine.id, engine.id + 2, 0):
        with pytest.raises(InvalidRequest, match=f"step {wrong}: expected step {engine.id + 1}"):
            engine.model.apply(Step(wrong, freed=[1]))
    assert engine.run(1, 3, decode=2, chunk=8) == recomputed([1, 2, 3, 4, 5], 3)


def test_the_first_step_of_all_must_forget(tmp_path):
    model = load(toy(tmp_path))
    with pytest.raises(InvalidRequest, match="step 1: nothing is kept here of steps before"):
        model.apply(Step(1))
    assert model.apply(Step(70, forget=True)).id == 70
    assert model.apply(Step(71)).id == 71


def test_what_was_forgotten_is_gone(engine):
    engine.send(forget=True)
    with pytest.raises(InvalidRequest, match="slot 1 has no sequence"):
        engine.send(freed=[1])
    engine.send(forget=True)
    with pytest.raises(InvalidRequest, match="block 0 holds nothing"):
        engine.send(**start(blocks=[0]))


def test_a_graph_that_fails_fails_the_step(engine):
    model = engine.model._calls._model
    execute = model.execute

    def fail(graph, inputs):
        raise ExecutionFailed("on demand")

    model.execute = fail
    with pytest.raises(ExecutionFailed, match="on demand"):
        engine.send(prefills=[Forward(0, [engine.row(1, 2)])])
    model.execute = execute
    with pytest.raises(InvalidRequest, match="expected one that forgets"):
        engine.send()
    engine.send(forget=True, starts=[engine.start(1, [6, 7])])
    assert engine.run(1, 4, decode=2, chunk=8) == recomputed([6, 7], 4)


BAD_SAMPLING = {
    "tokens": (GREEDY, [1, 61], "tokens: expected ids below 61, got 61"),
    "bias id": (Sampling(logit_bias={99: 1.0}), [1], "logit_bias: expected ids below 61, got 99"),
    "bias": (
        Sampling(logit_bias={9: float("nan")}),
        [1],
        "logit_bias: expected a finite number, got nan",
    ),
    "stop ids": (Sampling(stop_ids=(61,)), [1], "stop_ids: expected ids below 61, got 61"),
    "allowed": (Sampling(allowed_ids=(2, 80)), [1], "allowed_ids: expected ids below 61, got 80"),
    "cold": (
        Sampling(temperature=-1.0),
        [1],
        "temperature: expected a finite number of at least 0, got -1",
    ),
    "hot": (Sampling(temperature=float("inf")), [1], "temperature: expected a finite number"),
    "top_p": (Sampling(top_p=1.5), [1], "top_p: expected a number from 0 to 1, got 1.5"),
    "no top_p": (Sampling(top_p=0.0), [1], "top_p: expected more than 0, got 0"),
    "min_p": (Sampling(min_p=-0.1), [1], "min_p: expected a number from 0 to 1, got -0.1"),
    "repetition": (
        Sampling(repetition_penalty=0.0),
        [1],
        "repetition_penalty: expected more than 0, got 0",
    ),
    "presence": (
        Sampling(presence_penalty=float("nan")),
        [1],
        "presence_penalty: expected a finite number, got nan",
    ),
}


@pytest.mark.parametrize("case", BAD_SAMPLING)
def test_a_sequence_that_cannot_be_continued_fails_alone(engine, case):
    sampling, tokens, expected = BAD_SAMPLING[case]
    engine.computed[1] = 3
    outcome = engine.send(
        starts=[engine.start(0, tokens, sampling)],
        prefills=[Forward(0, [engine.row(0, 8), engine.row(1, 8)])],
    )
    by_slot = {chosen.slot: chosen for chosen in outcome.chosen}
    assert by_slot[0].failure.startswith(expected)
    assert by_slot[1].tokens == recomputed([1, 2, 3, 4, 5], 1)
    engine.send(freed=[0], starts=[engine.start(0, [6, 7])])
    assert only(engine.send(prefills=[Forward(0, [engine.row(0, 8)])])).tokens == recomputed(
        [6, 7], 1
    )
