"""Blocks of the KV cache: none is lost, none is given away that somebody uses."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.worker.generation.blocks import BlockPool
from services.worker.generation.hashes import BlockHashes


def test_blocks_that_nobody_refers_to_any_more_are_free_again() -> None:
    pool = BlockPool(3)
    taken = pool.allocate(3)
    assert sorted(taken) == [0, 1, 2]
    assert pool.available == 0
    pool.release(taken)
    assert (pool.available, pool.referenced, pool.cached) == (3, 0, 0)


def test_a_full_block_is_found_by_its_hash_after_it_was_released() -> None:
    pool = BlockPool(3)
    first, second = pool.allocate(2)
    assert pool.publish(first, b"a")
    assert pool.publish(second, b"ab")
    pool.release([first, second])
    assert pool.cached == 2
    assert pool.match([b"a", b"ab", b"abc"]) == [first, second]
    assert pool.match([b"b", b"ab"]) == []


def test_a_shared_block_is_kept_until_the_last_lets_go() -> None:
    pool = BlockPool(1)
    (block,) = pool.allocate(1)
    pool.publish(block, b"a")
    pool.share([block])
    pool.release([block])
    assert (pool.referenced, pool.available) == (1, 0)
    pool.release([block])
    assert (pool.referenced, pool.available) == (0, 1)


def test_the_cached_block_that_was_longest_of_no_use_is_taken_and_a_free_one_before_it() -> None:
    pool = BlockPool(4)
    old, young, _ = blocks = pool.allocate(3)
    pool.publish(old, b"old")
    pool.publish(young, b"young")
    pool.release([old])
    pool.release([young])
    pool.allocate(1)
    assert pool.match([b"old"]) == [old]
    assert pool.allocate(1) == [old]
    assert pool.match([b"old"]) == []
    assert pool.match([b"young"]) == [young]
    assert len(set(blocks)) == 3


def test_using_a_cached_block_makes_it_young() -> None:
    pool = BlockPool(2)
    first, second = pool.allocate(2)
    pool.publish(first, b"1")
    pool.publish(second, b"2")
    pool.release([first])
    pool.release([second])
    pool.share([first])
    pool.release([first])
    assert pool.allocate(1) == [second]


def test_the_end_of_a_text_is_evicted_before_its_beginning() -> None:
    pool = BlockPool(2)
    beginning, end = pool.allocate(2)
    pool.publish(beginning, b"a")
    pool.publish(end, b"ab")
    pool.release([beginning, end])
    assert pool.allocate(1) == [end]


def test_the_same_text_computed_twice_is_shared_once() -> None:
    pool = BlockPool(2)
    first, second = pool.allocate(2)
    assert pool.publish(first, b"a")
    assert not pool.publish(second, b"a")
    pool.release([first, second])
    assert pool.cached == 1


def test_releasing_what_nobody_refers_to_is_an_error() -> None:
    pool = BlockPool(1)
    taken = pool.allocate(1)
    pool.release(taken)
    with pytest.raises(ValueError, match="block 0 is released, but nobody refers to it"):
        pool.release(taken)


def test_a_hash_stands_for_all_tokens_up_to_its_block() -> None:
    tokens = [1, 2, 3, 4, 5]
    hashes = BlockHashes(2)
    assert len(hashes.of(tokens[:1])) == 0
    first, second = hashes.of(tokens)
    assert BlockHashes(2).of([1, 2, 3, 4]) == [first, second]
    assert BlockHashes(2).of([9, 9, 3, 4])[1] != second
    assert BlockHashes(2, adapter=1).of(tokens)[0] != first
    assert BlockHashes(2, salt="x").of(tokens)[0] != first
    assert BlockHashes(2, adapter=1, salt="x").of(tokens) != BlockHashes(2, salt="1:x").of(tokens)


class Pool(RuleBasedStateMachine):
    """Texts take blocks, fill them, share them and let them go, in any order."""

    @initialize(count=st.integers(1, 8))
    def make(self, count: int) -> None:
        self.pool = BlockPool(count)
        self.texts: list[list[int]] = []
        self.holds: dict[int, bytes] = {}  # what the device's block store holds

    @rule(count=st.integers(1, 4))
    def take(self, count: int) -> None:
        if count > self.pool.available:
            return
        used = {block for text in self.texts for block in text}
        taken = self.pool.allocate(count)
        assert len(set(taken)) == count
        assert not used & set(taken), "a block was handed out that is in use"
        for block in taken:
            self.holds.pop(block, None)
        self.texts.append(taken)

    @precondition(lambda self: self.texts)
    @rule(data=st.data(), block_hash=st.sampled_from([b"a", b"b", b"c", b"d"]))
    def fill(self, data: st.DataObject, block_hash: bytes) -> None:
        text = data.draw(st.sampled_from(self.texts))
        block = data.draw(st.sampled_from(text))
        if block not in self.holds and self.pool.publish(block, block_hash):
            self.holds[block] = block_hash

    @rule(hashes=st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), min_size=1, unique=True))
    def share(self, hashes: list[bytes]) -> None:
        found = self.pool.match(hashes)
        assert [self.holds[block] for block in found] == hashes[: len(found)]
        if len(found) < len(hashes):
            assert hashes[len(found)] not in self.holds.values()
        room = self.pool.room_beside(found)
        if found:
            self.pool.share(found)
            self.texts.append(found)
        assert self.pool.available == room

    @precondition(lambda self: self.texts)
    @rule(data=st.data())
    def let_go(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.texts) - 1))
        self.pool.release(self.texts.pop(index))

    @invariant()
    def conserve(self) -> None:
        used = {block for text in self.texts for block in text}
        assert self.pool.referenced == len(used)
        assert self.pool.cached == len(set(self.holds) - used)
        free = self.pool.available - self.pool.cached
        assert free + self.pool.cached + self.pool.referenced == self.pool.count
        assert free >= 0

    def teardown(self) -> None:
        for text in getattr(self, "texts", []):
            self.pool.release(text)
        if hasattr(self, "pool"):
            assert self.pool.available == self.pool.count
            assert len(set(self.pool.allocate(self.pool.count))) == self.pool.count


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
