"""However a text is cut into steps, the tokens are those of the whole text computed at once."""

from dataclasses import replace

import numpy as np
import pytest

from services.agent.cores import Cores
from services.agent.generation.steps import Forward, Row, Sampling, StoreBlock
from tests.support.language import GREEDY, Engine, load, only, recomputed, toy

PROMPTS = [[5, 9, 2], [7], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], [60, 0, 60, 0, 60]]
SAMPLED = Sampling(temperature=3.0, top_k=20, top_p=0.9, seed=11, frequency_penalty=0.5)


def prefill(engine, graph, rows, **parts):
    return engine.send(prefills=[Forward(graph, rows)], **parts)


def test_one_text_alone(tmp_path):
    engine = Engine(load(toy(tmp_path)))
    engine.send(starts=[engine.start(0, PROMPTS[0])])
    assert engine.run(0, 12, decode=1, chunk=8) == recomputed(PROMPTS[0], 12)


def test_a_batch(tmp_path):
    engine = Engine(load(toy(tmp_path, [(4, 16, 32)])))
    starts = [engine.start(slot, prompt) for slot, prompt in enumerate(PROMPTS)]
    prefill(engine, 0, [engine.row(slot, 16) for slot in range(4)], starts=starts)
    for _ in range(7):
        outcome = engine.send(decode=Forward(1, [engine.row(slot) for slot in range(4)]))
        assert [chosen.slot for chosen in outcome.chosen] == [0, 1, 2, 3]
    for slot, prompt in enumerate(PROMPTS):
        assert engine.texts[slot] == prompt + recomputed(prompt, 8)


def test_a_prompt_in_chunks_of_every_size_while_another_text_goes_on(tmp_path):
    for chunk in range(1, 8):
        engine = Engine(load(toy(tmp_path)))
        engine.send(starts=[engine.start(2, PROMPTS[0]), engine.start(1, PROMPTS[2])])
        prefill(engine, 0, [engine.row(2, 8)])
        while len(engine.texts[1]) == len(PROMPTS[2]):
            prefill(engine, 0, [engine.row(1, chunk)], decode=Forward(1, [engine.row(2)]))
        assert engine.texts[1] == PROMPTS[2] + recomputed(PROMPTS[2], 1)
        assert engine.texts[2] == PROMPTS[0] + recomputed(PROMPTS[0], len(engine.texts[2]) - 3)


def test_rows_of_any_slots_go_through_graphs_of_fewer_rows(tmp_path):
    files = toy(tmp_path, [(2, 8, 32)], [(2, 1, 32), (4, 1, 32)])
    engine = Engine(load(files))
    starts = [engine.start(0, PROMPTS[0]), engine.start(3, PROMPTS[3])]
    prefill(engine, 0, [engine.row(3, 4), engine.row(0, 8)], starts=starts)
    prefill(engine, 0, [engine.row(3, 8)])
    for graph, slots in ((1, [3]), (2, [0, 3]), (1, [3, 0]), (1, [0]), (2, [3, 0])):
        engine.send(decode=Forward(graph, [engine.row(slot) for slot in slots]))
    assert engine.texts[0] == PROMPTS[0] + recomputed(PROMPTS[0], 5)
    assert engine.texts[3] == PROMPTS[3] + recomputed(PROMPTS[3], 5)


def test_the_cache_is_moved_when_texts_grow_longer_and_when_only_short_ones_are_left(tmp_path):
    files = toy(tmp_path, [(1, 8, 8), (1, 8, 24)], [(4, 1, 8), (4, 1, 16), (4, 1, 24)])
    engine = Engine(load(files))
    cache = engine.model._cache
    engine.send(starts=[engine.start(0, PROMPTS[0]), engine.start(1, PROMPTS[1])])
    prefill(engine, 0, [engine.row(0, 8)])
    prefill(engine, 0, [engine.row(1, 8)])
    moves = []
    for _ in range(18):
        longest = engine.computed[0]
        graph = 2 if longest <= 8 else 3 if longest <= 16 else 4
        rows = [engine.row(0)] + ([engine.row(1)] if len(engine.texts[1]) < 7 else [])
        engine.send(decode=Forward(graph, rows))
        moves.append(cache.length)
    assert moves == [8] * 5 + [16] * 8 + [24] * 5  # a graph of S tokens computes one behind them
    engine.send(freed=[0], decode=Forward(2, [engine.row(1)]))
    assert (cache.length, cache.moves) == (8, 3)
    assert engine.texts[0] == PROMPTS[0] + recomputed(PROMPTS[0], 19)
    assert engine.texts[1] == PROMPTS[1] + recomputed(PROMPTS[1], 7)


def test_a_short_text_goes_on_in_a_short_graph_while_a_long_prompt_is_computed(tmp_path):
    files = toy(tmp_path, [(1, 8, 24)], [(4, 1, 8), (4, 1, 24)])
    engine = Engine(load(files))
    engine.send(starts=[engine.start(0, PROMPTS[1]), engine.start(1, PROMPTS[2] * 2)])
    prefill(engine, 0, [engine.row(0, 8)])
    for _ in range(2):
        prefill(engine, 0, [engine.row(1, 8)], decode=Forward(1, [engine.row(0)]))
    assert engine.model._cache.length == 24
    prefill(engine, 0, [engine.row(1, 8)], decode=Forward(1, [engine.row(0)]))
    engine.send(decode=Forward(2, [engine.row(0), engine.row(1)]))
    assert engine.texts[0] == PROMPTS[1] + recomputed(PROMPTS[1], 5)
    assert engine.texts[1] == PROMPTS[2] * 2 + recomputed(PROMPTS[2] * 2, 2)


def test_a_text_grows_to_one_token_behind_the_longest_cache(tmp_path):
    engine = Engine(load(toy(tmp_path, [(1, 8, 12)], [(4, 1, 12)])))
    engine.send(starts=[engine.start(0, PROMPTS[0])])
    expected = recomputed(PROMPTS[0], 11)
    assert engine.run(0, 11, decode=1, chunk=8) == expected[:11]
    assert engine.computed[0] == 13
    # Neither what is behind its end nor its neighbour was touched.
    engine.send(starts=[engine.start(1, PROMPTS[2])])
    assert engine.run(1, 2, decode=1, chunk=8) == recomputed(PROMPTS[2], 2)


def test_a_prompt_begins_with_blocks_that_another_one_stored(tmp_path):
    files = toy(tmp_path, block_size=4, blocks=6)
    engine = Engine(load(files))
    engine.send(starts=[engine.start(0, PROMPTS[2])])
    engine.run(0, 3, decode=1, chunk=8)
    stores = [StoreBlock(0, 0, 5), StoreBlock(0, 1, 2), StoreBlock(0, 2, 0)]
    # Stored before the slot is freed, loaded after, all in one step.
    text = [*engine.texts[0][:12], 33, 34]
    start = engine.start(0, text, blocks=[5, 2, 0])
    engine.send(stores=stores, freed=[0], starts=[start])
    assert engine.run(0, 5, decode=1, chunk=8) == recomputed(text, 5)
    # The same blocks, and fewer of them, for another slot.
    engine.send(starts=[engine.start(3, text[:9], blocks=[5, 2])])
    assert engine.run(3, 5, decode=1, chunk=8) == recomputed(text[:9], 5)


def test_blocks_longer_than_the_present_cache_are_loaded(tmp_path):
    files = toy(tmp_path, [(1, 8, 24)], [(2, 1, 8), (2, 1, 24)], block_size=4, blocks=4)
    engine = Engine(load(files))
    engine.send(starts=[engine.start(0, PROMPTS[2] + PROMPTS[0])])
    engine.run(0, 1, decode=2, chunk=8)
    engine.send(stores=[StoreBlock(0, index, index) for index in range(3)], freed=[0])
    engine.send(starts=[engine.start(1, PROMPTS[1])])
    engine.run(1, 2, decode=1, chunk=8)
    assert engine.model._cache.length == 8
    engine.send(starts=[engine.start(0, PROMPTS[2] + PROMPTS[0], blocks=[0, 1, 2])])
    expected = recomputed(PROMPTS[2] + PROMPTS[0], 3)
    assert engine.run(0, 3, decode=2, chunk=8) == expected
    engine.send(decode=Forward(2, [engine.row(1)]))
    assert engine.texts[1] == PROMPTS[1] + recomputed(PROMPTS[1], 3)


# Whose tokens are the most likely ones from the fourth on, perhaps in the middle of a guess.
STOPPING_LATE = Sampling(stop_ids=(3,), min_tokens=3)


@pytest.mark.parametrize(
    "sampling", [GREEDY, SAMPLED, STOPPING_LATE], ids=["greedy", "sampled", "stopping late"]
)
def test_speculated_tokens_are_kept_as_far_as_they_are_what_would_be_chosen(tmp_path, sampling):
    files = toy(tmp_path, [(2, 8, 32)])
    plain = Engine(load(files))
    plain.send(starts=[plain.start(0, PROMPTS[0], sampling)])
    expected = plain.run(0, 12, decode=1, chunk=8)
    for right in range(5):
        engine = Engine(load(files))
        engine.send(starts=[engine.start(1, PROMPTS[0], sampling)])
        engine.run(1, 1, decode=1, chunk=8)
        guess = expected[1 : 1 + right] + [(each + 1) % 61 for each in expected[1 + right : 6]]
        row = engine.row(1, 1, guess)
        kept = only(prefill(engine, 0, [row])).tokens
        assert kept == expected[1 : 2 + right]
        engine.computed[1] += right
        while len(engine.texts[1]) < 15:
            engine.send(decode=Forward(1, [engine.row(1)]))
        assert engine.texts[1][3:] == expected


def test_right_guesses_to_the_last_give_one_token_more(tmp_path):
    engine = Engine(load(toy(tmp_path)))
    engine.send(starts=[engine.start(0, PROMPTS[0])])
    expected = recomputed(PROMPTS[0], 8)
    # Speculated about already when the prompt is computed.
    told = only(prefill(engine, 0, [engine.row(0, 3, expected[:5])]))
    assert told.tokens == expected[:6]
    engine.computed[0] += 5
    engine.send(decode=Forward(1, [engine.row(0)]))
    assert engine.texts[0] == PROMPTS[0] + expected[:7]


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_text_that_was_put_off_and_is_computed_again_goes_on_as_if_nothing_were(
    tmp_path, sampling
):
    files = toy(tmp_path, [(1, 8, 32)])
    whole = Engine(load(files))
    whole.send(starts=[whole.start(0, PROMPTS[0], sampling)])
    expected = whole.run(0, 10, decode=1, chunk=8)
    for after in range(1, 10):
        engine = Engine(load(files))
        engine.send(starts=[engine.start(0, PROMPTS[0], sampling)])
        engine.run(0, after, decode=1, chunk=8)
        text = engine.texts[0]
        again = engine.start(2, text, sampling, prompt_tokens=len(PROMPTS[0]))
        engine.send(freed=[0], starts=[again])
        engine.run(2, 10 - after, decode=1, chunk=5)
        assert engine.texts[2] == PROMPTS[0] + expected


def test_a_seed_draws_the_same_text_whatever_else_is_in_the_batch(tmp_path):
    files = toy(tmp_path, [(1, 8, 32)])
    alone = Engine(load(files))
    alone.send(starts=[alone.start(0, PROMPTS[0], SAMPLED)])
    expected = alone.run(0, 8, decode=1, chunk=8)
    engine = Engine(load(files))
    others = [replace(SAMPLED, seed=slot) for slot in range(4)]
    others[2] = SAMPLED
    starts = [engine.start(slot, PROMPTS[0], others[slot]) for slot in range(4)]
    engine.send(starts=starts, prefills=[Forward(0, [engine.row(slot, 8)]) for slot in range(4)])
    for _ in range(7):
        engine.send(decode=Forward(1, [engine.row(slot) for slot in range(4)]))
    assert engine.texts[2][3:] == expected
    assert len({tuple(text) for text in engine.texts.values()}) == 4


@pytest.mark.parametrize("rows", [-1, 3])
def test_argmax_and_topk_graphs_choose_what_numpy_does(tmp_path, rows):
    sampled = Sampling(temperature=3.0, top_k=6, top_p=0.9, min_p=0.01, seed=3)
    found = []
    for on_device in (False, True):
        files = toy(
            tmp_path, argmax=True, topk=True, choosers_rows=rows, device_post_sampling=on_device
        )
        engine = Engine(load(files))
        called = []
        model = engine.model._calls._model
        execute = model.execute
        model.execute = lambda graph, inputs, e=execute, c=called: (
            c.append(graph) or e(graph, inputs)
        )
        kinds = [GREEDY, sampled, replace(sampled, top_k=50), replace(sampled, logit_bias={1: 9})]
        starts = [engine.start(slot, PROMPTS[slot][:8], kinds[slot]) for slot in range(4)]
        engine.send(
            starts=starts, prefills=[Forward(0, [engine.row(slot, 8)]) for slot in range(4)]
        )
        for _ in range(7):
            engine.send(decode=Forward(1, [engine.row(slot) for slot in range(4)]))
        found.append(engine.texts)
        assert (2 in called, 3 in called) == (on_device, on_device)
    assert found[0] == found[1]


def test_a_graph_that_finds_the_most_likely_tokens_itself_is_believed(tmp_path):
    engine = Engine(load(toy(tmp_path, fused=True)))
    engine.send(starts=[engine.start(0, PROMPTS[0])])
    assert engine.run(0, 6, decode=1, chunk=2) == recomputed(PROMPTS[0], 6)
    model = engine.model._calls._model
    execute = model.execute

    def says_seven(graph, inputs):
        outputs = execute(graph, inputs)
        outputs[-1][:] = 7
        return outputs

    model.execute = says_seven
    engine.send(decode=Forward(1, [engine.row(0)]))
    assert engine.texts[0][-1] == 7


def test_adapters_are_chosen_row_by_row(tmp_path):
    engine = Engine(load(toy(tmp_path, [(2, 8, 32)], adapters=True)))
    starts = [engine.start(slot, PROMPTS[0], adapter=slot) for slot in range(3)]
    engine.send(starts=starts)
    for slots in ((0, 2), (1,)):
        prefill(engine, 0, [engine.row(slot, 8) for slot in slots])
    for _ in range(4):
        engine.send(decode=Forward(1, [engine.row(slot) for slot in (2, 0, 1)]))
    for slot in range(3):
        assert engine.texts[slot] == PROMPTS[0] + recomputed(PROMPTS[0], 5, adapter=slot)


def test_prompt_tokens_are_told_of_once_each_however_the_prompt_is_cut(tmp_path):
    sampling = Sampling(prompt_logprobs=2, logprobs=1)
    told = {}
    for chunk in (8, 3):
        engine = Engine(load(toy(tmp_path)))
        engine.send(starts=[engine.start(0, PROMPTS[3], sampling)])
        of_prompt, of_chosen = [], []
        while engine.computed[0] < 5:
            outcome = only(prefill(engine, 0, [engine.row(0, chunk)]))
            of_prompt += outcome.prompt_logprobs
            of_chosen += outcome.logprobs
        outcome = only(engine.send(decode=Forward(1, [engine.row(0)])))
        assert not outcome.prompt_logprobs
        told[chunk] = (of_prompt, of_chosen + outcome.logprobs)
    assert told[8] == told[3]
    of_prompt, of_chosen = told[8]
    assert (len(of_prompt), len(of_chosen)) == (4, 2)
    assert all(len(each.ids) == 2 for each in of_prompt)
    # Greedy: each is the most likely one, and its own first alternative.
    assert [each.rank for each in of_chosen] == [1, 1]
    assert [each.ids for each in of_chosen] == [[token] for token in recomputed(PROMPTS[3], 2)]


def test_tokens_that_were_generated_before_are_none_of_the_prompts(tmp_path):
    engine = Engine(load(toy(tmp_path)))
    sampling = Sampling(prompt_logprobs=0)
    engine.send(starts=[engine.start(0, [1, 2, 3, 4, 5], sampling, prompt_tokens=3)])
    first = only(prefill(engine, 0, [engine.row(0, 2)]))
    assert len(first.prompt_logprobs) == 2
    assert not only(prefill(engine, 0, [engine.row(0, 3)])).prompt_logprobs


def broken(model, slot_row, value):
    """A model whose logits of one row are ``value``, once, with such keys."""
    inner = model._calls._model
    execute = inner.execute

    def run(graph, inputs):
        inner.execute = execute
        outputs = execute(graph, inputs)
        for output in outputs:
            output[slot_row] = value
        return outputs

    inner.execute = run


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_a_row_without_numbers_fails_alone_and_leaves_nothing_in_its_slot(
    tmp_path, value, sampling
):
    engine = Engine(load(toy(tmp_path, [(4, 8, 32)])))
    starts = [engine.start(slot, PROMPTS[0], sampling) for slot in range(2)]
    prefill(engine, 0, [engine.row(0, 8), engine.row(1, 8)], starts=starts)
    expected = {slot: list(text) for slot, text in engine.texts.items()}
    broken(engine.model, 1, value)
    outcome = engine.send(decode=Forward(1, [engine.row(0), engine.row(1)]))
    by_slot = {chosen.slot: chosen for chosen in outcome.chosen}
    assert "no numbers" in by_slot[1].failure
    assert not by_slot[1].tokens
    assert not by_slot[0].failure
    # Its rows are passed over, and told of, until it is freed.
    outcome = engine.send(decode=Forward(1, [engine.row(0), Row(1, 3, 1, (), True)]))
    assert {chosen.slot: bool(chosen.failure) for chosen in outcome.chosen} == {0: False, 1: True}
    assert len(engine.texts[0]) == len(expected[0]) + 2
    assert all(np.isfinite(array).all() for array in engine.model._cache.arrays)
    engine.send(freed=[1], starts=[engine.start(1, PROMPTS[1])])
    assert engine.run(1, 3, decode=1, chunk=8) == recomputed(PROMPTS[1], 3)


def test_a_prompt_without_numbers_fails_before_anything_is_chosen(tmp_path):
    engine = Engine(load(toy(tmp_path)))
    engine.send(starts=[engine.start(0, PROMPTS[2])])
    broken(engine.model, 0, np.nan)
    assert "no numbers" in only(prefill(engine, 0, [engine.row(0, 8)])).failure
    assert all(np.isfinite(array).all() for array in engine.model._cache.arrays)


def test_what_was_gathered_for_a_row_without_numbers_reaches_no_other_row(tmp_path):
    engine = Engine(load(toy(tmp_path, [(1, 4, 16)], [(4, 1, 32)])))
    starts = [engine.start(0, PROMPTS[2]), engine.start(1, PROMPTS[2]), engine.start(3, [1])]
    engine.send(starts=starts)
    prefill(engine, 0, [engine.row(3, 4)])
    engine.send(decode=Forward(1, [engine.row(3)]))  # the cache is longer now than graph 0's
    for slot in (0, 1, 0):
        prefill(engine, 0, [engine.row(slot, 4)])
    for array in engine.model._cache.arrays:
        array[0, :, 6] = np.nan  # behind what is there of slot 1
    assert "no numbers" in only(prefill(engine, 0, [engine.row(0, 4)])).failure
    prefill(engine, 0, [engine.row(1, 4)])
    assert only(prefill(engine, 0, [engine.row(1, 4)])).tokens == recomputed(PROMPTS[2], 1)


def test_prompts_are_computed_on_all_cores_and_single_tokens_on_those_that_were_declared(tmp_path):
    class Asked(Cores):
        def __init__(self):
            super().__init__()
            self.counts = []

        def use(self, count):
            self.counts.append(count)

    cores = Asked()
    engine = Engine(load(toy(tmp_path, decode_cores=3), cores=cores))
    engine.send(starts=[engine.start(0, PROMPTS[0]), engine.start(1, PROMPTS[2])])
    prefill(engine, 0, [engine.row(0, 8)])
    prefill(engine, 0, [engine.row(1, 8)], decode=Forward(1, [engine.row(0)]))
    assert cores.counts == [0, 0, 3]
