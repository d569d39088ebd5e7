"""Which worker a prompt's beginning leads to."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.master.prefixes import BLOCK_BYTES, Prefixes, blocks_of, choose
from shared.text_generation import Chat, GenerateRequest

WORKERS = ["a", "b", "c", "d"]


def blocks(prompt, **more):
    return blocks_of(GenerateRequest(**{"model": "tiny", "prompt": prompt} | more))


def test_prompts_share_blocks_as_far_as_they_are_the_same():
    one, other = blocks("x" * 1000 + "a" * 600), blocks("x" * 1000 + "b" * 600)
    assert len(one) == len(other) == 1600 // BLOCK_BYTES
    shared = [a == b for a, b in zip(one, other, strict=True)]
    assert shared == [True] * 3 + [False] * 3
    assert blocks("short") == ()


@pytest.mark.parametrize("more", [{"model": "other"}, {"cache_salt": "s"}])
def test_models_and_salts_share_nothing(more):
    assert not set(blocks("x" * 1000)) & set(blocks("x" * 1000, **more))


def test_chats_and_token_ids_have_blocks_too():
    assert len(blocks(tuple(range(200)))) == 200 * 4 // BLOCK_BYTES
    one = blocks(Chat("m" * 300, "t" * 300))
    assert one[0] == blocks(Chat("n" * 300, "t" * 300))[0]


@pytest.mark.parametrize("unit", ["é", (7,)])
def test_what_lies_far_behind_is_not_looked_at(unit):
    most = 1 << 16
    assert blocks(unit * (most * 4)) == blocks(unit * most)
    assert len(blocks(unit * (most * 4))) == most // BLOCK_BYTES


def test_masters_that_know_nothing_prefer_the_same_worker():
    asked = blocks("x" * 1000)
    first = Prefixes().preferred(asked, WORKERS)
    assert Prefixes().preferred(asked, WORKERS[::-1]) == first
    assert sorted(first) == WORKERS
    # Those that leave change nothing for the others.
    assert Prefixes().preferred(asked, sorted(first[1:])) == first[1:]


def test_prompts_spread_over_workers():
    homes = Counter(Prefixes().preferred(blocks(f"{n:04}" * 100), WORKERS)[0] for n in range(400))
    assert all(60 <= homes[worker] <= 140 for worker in WORKERS)


def test_whoever_served_most_of_a_prompt_is_preferred_until_it_leaves():
    prefixes, one, longer = Prefixes(), blocks("x" * 600), blocks("x" * 600 + "y" * 600)
    home, *others = prefixes.preferred(one, WORKERS)
    prefixes.remember(longer, others[1])
    assert prefixes.preferred(longer, WORKERS)[0] == others[1]
    assert prefixes.preferred(longer, [w for w in WORKERS if w != others[1]])[0] == home


def test_what_is_remembered_is_bounded():
    prefixes = Prefixes(most=2)
    one, other = blocks("x" * 600), blocks("y" * 600)
    home = prefixes.preferred(one, WORKERS)[0]
    elsewhere = next(worker for worker in WORKERS if worker != home)
    prefixes.remember(one, elsewhere)
    assert prefixes.preferred(one, WORKERS)[0] == elsewhere
    prefixes.remember(other, elsewhere)
    assert prefixes.preferred(one, WORKERS)[0] == home


def test_nobody_is_preferred_for_a_short_prompt():
    assert Prefixes().preferred((), WORKERS) == []


@given(st.dictionaries(st.sampled_from(WORKERS), st.integers(0, 50), min_size=1), st.randoms())
def test_a_preference_bends_before_load(loads, chance):
    workers = list(loads)
    preferred = chance.sample(workers, len(workers))
    chosen = choose(preferred, workers, loads.__getitem__)
    mean = sum(loads.values()) / len(loads)
    assert loads[chosen] <= 1.25 * mean + 2
    assert loads[choose([], workers, loads.__getitem__)] == min(loads.values())
    if loads[preferred[0]] <= mean:
        assert chosen == preferred[0]
