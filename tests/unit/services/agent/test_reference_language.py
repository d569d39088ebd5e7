"""The toy's next token depends on everything before it, through each number of the cache."""

import numpy as np
import pytest

from services.agent.backends.reference import ReferenceBackend
from shared.membership import Device
from tests.support.language import HEAD_DIM, HEADS, LAYERS, toy, whole_text

TEXT = (5, 9, 2, 40, 33, 5)


@pytest.fixture
def toys(tmp_path):
    """A graph for prompts and one that decodes, both of two rows."""
    files = toy(tmp_path, [(2, 8, 16)], [(2, 1, 16)])
    return ReferenceBackend(Device("CPU", 0)).load(files, None)


def caches(value=0.0):
    return [np.full((2, HEADS, 16, HEAD_DIM), value, np.float32) for _ in range(2 * LAYERS)]


def prefilled(toys, cache):
    """Row 1 computes all of the text but its last token; row 0 rests."""
    tokens, positions = np.zeros((2, 8), np.int32), np.full((2, 8), -1, np.int32)
    count = len(TEXT) - 1
    tokens[1, :count], positions[1, :count] = TEXT[:-1], range(count)
    logits, *new = toys.execute(0, [tokens, positions, *cache])
    for array, given in zip(cache, new, strict=True):
        array[1, :, :count] = given[1, :, :count]
    return logits[1, :count]


def decoded(toys, cache):
    at = len(TEXT) - 1
    tokens, positions = np.array([[0], [TEXT[-1]]], np.int32), np.array([[-1], [at]], np.int32)
    return toys.execute(1, [tokens, positions, *cache])[0][1, 0]


@pytest.mark.parametrize("garbage", [0.0, 4000.0])
def test_in_pieces_it_is_what_it_is_as_a_whole(toys, garbage):
    cache = caches(garbage)
    expected = whole_text()(TEXT)
    np.testing.assert_array_equal(prefilled(toys, cache), expected[:-1])
    np.testing.assert_array_equal(decoded(toys, cache), expected[-1])


def test_each_earlier_token_and_its_place_count():
    expected = whole_text()(TEXT)[-1]
    for place in range(len(TEXT)):
        other = list(TEXT)
        other[place] += 1
        assert (whole_text()(tuple(other))[-1] != expected).any()
    swapped = (TEXT[1], TEXT[0], *TEXT[2:])
    assert (whole_text()(swapped)[-1] != expected).any()
    assert (whole_text()(TEXT, 1)[-1] != expected).any()


def test_each_number_of_the_cache_counts(toys):
    cache = caches()
    prefilled(toys, cache)
    expected = decoded(toys, cache)
    for array in cache:
        for at in np.ndindex(HEADS, len(TEXT) - 1, HEAD_DIM):
            kept = array[1][at]
            array[1][at] = kept + 1
            assert (decoded(toys, cache) != expected).any()
            array[1][at] = kept


def test_the_most_likely_token_is_one_alone():
    for token in range(61):
        logits = whole_text()((token,))[-1]
        assert len(set(logits.tolist())) == len(logits)


def test_what_is_no_number_in_the_cache_is_none_in_the_logits(toys):
    cache = caches()
    cache[3][1, :, 15] = np.nan
    assert np.isnan(prefilled(toys, cache)).all()
