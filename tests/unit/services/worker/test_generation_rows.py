"""Graphs are chosen by what their rows cost, and guesses by what followed the last time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.worker.generation.buckets import Bucket, Buckets
from services.worker.generation.rows import Packing, Row
from services.worker.generation.rules import SchedulerRules
from services.worker.generation.sequences import Sequence, State
from services.worker.generation.speculate import PromptLookup
from services.worker.generation.steps import Prefill
from tests.support.generation import RULES, prompt_of


def rows_of(*sizes: int, first: int = 0) -> list[Row]:
    rows = []
    for number, size in enumerate(sizes):
        sequence = Sequence(prompt_of(1), RULES, number=number, family=number, turn=0.0)
        sequence.slot, sequence.state = number, State.PREFILLING
        rows.append(Row(sequence, first, (1,) * size, 1))
    return rows


def sizes_of(calls: tuple[Prefill, ...]) -> list[list[int]]:
    return [[len(chunk.tokens) for chunk in call.chunks] for call in calls]


def packed(rules: SchedulerRules, *sizes: int) -> list[list[int]]:
    return sizes_of(Packing(rules).prefills(rows_of(*sizes)))


def test_the_cheapest_graph_that_fits_is_found() -> None:
    buckets = Buckets([Bucket(4, 8, 64), Bucket(1, 16, 64), Bucket(1, 16, 32), Bucket(2, 8, 32)])
    assert buckets.fit(batch=1, tokens=3, length=32) == Bucket(1, 16, 32)
    assert buckets.fit(batch=1, tokens=3, length=33) == Bucket(1, 16, 64)
    assert buckets.fit(batch=2, tokens=8, length=0) == Bucket(2, 8, 32)
    assert buckets.fit(batch=2, tokens=8, length=40) == Bucket(4, 8, 64)
    assert buckets.fit(batch=2, tokens=9, length=0) is None
    assert buckets.widest(length=64) == 16
    assert buckets.widest(length=65) == 0


def test_without_length_fitting_only_the_longest_and_widest_graphs_are_used() -> None:
    buckets = Buckets(
        [Bucket(1, 8, 32), Bucket(1, 8, 64), Bucket(1, 16, 64), Bucket(2, 16, 64)],
        length_fitted=False,
    )
    assert buckets.fit(batch=1, tokens=1, length=0) == Bucket(1, 16, 64)
    assert buckets.fit(batch=2, tokens=1, length=0) == Bucket(2, 16, 64)


def test_chunks_of_like_length_share_a_call_and_others_do_not_pay_for_them() -> None:
    rules = replace(RULES, call_tokens=4)
    assert packed(rules, 16, 15, 3, 2) == [[16, 15], [3, 2]]
    assert packed(rules, 16, 2) == [[16], [2]]
    assert packed(replace(RULES, call_tokens=100), 16, 2) == [[16, 2]]


def test_a_call_takes_no_more_prompts_than_it_may() -> None:
    assert packed(replace(RULES, max_prefill_batch=2), 8, 8, 8) == [[8], [8, 8]]
    assert packed(replace(RULES, max_prefill_batch=1), 8, 8) == [[8], [8]]


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 16), max_size=9),
    most=st.integers(1, 5),
    call_tokens=st.integers(0, 40),
)
def test_every_chunk_is_in_one_call_that_has_room_for_it(
    sizes: list[int], most: int, call_tokens: int
) -> None:
    rules = replace(RULES, max_prefill_batch=most, call_tokens=call_tokens)
    calls = Packing(rules).prefills(rows_of(*sizes, first=20))
    slots = sorted(chunk.slot for call in calls for chunk in call.chunks)
    assert slots == list(range(len(sizes)))
    for call in calls:
        assert len(call.chunks) <= min(most, call.bucket.batch)
        assert all(len(chunk.tokens) <= call.bucket.tokens for chunk in call.chunks)
        assert call.bucket.length >= 20


@pytest.mark.parametrize(
    ("tokens", "count", "proposed"),
    [
        ((1, 2, 3, 4, 1, 2), 3, (3, 4, 1)),
        ((1, 2, 3, 4, 1, 2), 1, (3,)),
        ((1, 2, 3, 4, 1, 2), 0, ()),
        ((1, 2, 3), 3, ()),
        ((1,), 3, ()),
        ((1, 2, 5, 1, 2, 6, 1, 2), 2, (6, 1)),  # the last time counts
        ((9, 1, 2, 5, 8, 1, 2, 6, 9, 1, 2), 1, (5,)),  # a longer run before a later one
        ((7, 7, 7), 3, (7,)),
    ],
)
def test_what_followed_the_same_tokens_the_last_time_is_proposed(
    tokens: tuple[int, ...], count: int, proposed: tuple[int, ...]
) -> None:
    assert PromptLookup().propose(tokens, count) == proposed


@settings(deadline=None)
@given(st.lists(st.integers(0, 2), max_size=30))
def test_a_lookup_that_grows_with_its_text_proposes_what_a_new_one_does(tokens: list[int]) -> None:
    growing = PromptLookup()
    for stop in range(len(tokens) + 1):
        text = tokens[:stop]
        assert growing.propose(text, 4) == PromptLookup().propose(text, 4)
