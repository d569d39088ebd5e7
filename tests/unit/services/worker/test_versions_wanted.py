"""Which versions are served: by policy, by order, by what a watched directory shows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.servable.intent import Intent, changes
from services.worker.servable.looks import Looks
from services.worker.servable.policy import VersionPolicy

LATEST = VersionPolicy.parse("latest:1")
TWO = VersionPolicy.parse("latest:2")
ALL = VersionPolicy.parse("all")
versions = st.frozensets(st.integers(1, 6))


@pytest.mark.parametrize("text", ["", "latest", "latest:0", "latest:-1", "latest:x", "none", "3"])
def test_a_policy_that_makes_no_sense_is_refused(text):
    with pytest.raises(ValueError, match=r"expected latest:N with N from 1 on, or all, got '"):
        VersionPolicy.parse(text)


@given(versions, st.integers(1, 4), versions)
def test_a_policy_chooses_the_newest_and_the_named(existing, latest, named):
    chosen = VersionPolicy(latest, named).choose(existing)
    assert chosen <= existing
    assert chosen >= named & existing
    newest = chosen - named
    assert all(version > other for version in newest for other in existing - chosen)
    assert len(chosen | (named & existing)) >= min(latest, len(existing))
    assert ALL.choose(existing) == existing


def test_orders_do_what_they_say_and_nothing_else():
    served = Intent(LATEST).load_chosen({1, 2, 3})
    assert served.wanted == {3}
    beside = served.load(1)
    assert beside.wanted == {1, 3}
    assert beside.unload(3).wanted == {1}
    assert beside.unload_all().wanted == frozenset()
    assert beside.load_chosen({1, 2, 3, 4}).wanted == {4}


def test_a_watched_directory_leaves_orders_alone():
    ordered = Intent(LATEST).load_chosen({1, 2, 3}).load(1).unload(3)
    assert ordered.found({1, 2, 3}, ()).wanted == {1, 2}
    assert ordered.found({1, 2, 3, 4}, ()).wanted == {1, 4}
    assert ordered.found({2, 3}, ()).wanted == {2}
    off = ordered.unload_all()
    assert off.found({1, 2, 3, 4}, ()).wanted == frozenset()
    assert off.load(2).found({1, 2, 3, 4}, ()).wanted == {2, 4}


def test_a_version_that_cannot_be_loaded_takes_nothing_away():
    intent = Intent(TWO).load_chosen({1, 2, 3})
    assert intent.failed(3, present={1, 2, 3}).wanted == {1, 2}
    assert intent.found({1, 2, 3}, failed={3}).wanted == {1, 2}
    assert Intent(LATEST).load_chosen({1}).load(2).failed(2, {1}).pinned == frozenset()


def test_a_superseded_version_goes_when_everything_wanted_is_ready():
    intent = Intent(LATEST).load_chosen({1, 2})
    assert changes(intent, loading=(), ready={1}, serving={1}) == ({2}, set(), set())
    assert changes(intent, loading={2}, ready={1}, serving={1, 2}) == (set(), set(), set())
    assert changes(intent, loading=(), ready={1, 2}, serving={1, 2}) == (set(), set(), {1})


def test_what_is_unloaded_by_hand_goes_at_once_and_its_load_ends():
    intent = Intent(LATEST).load_chosen({1}).load(2).load(3).unload(1).unload(2)
    due = changes(intent, loading={2, 3}, ready={1}, serving={1, 2})
    assert due == (set(), {2}, {1})


def test_what_was_first_is_not_given_up_for_what_may_never_load():
    intent = Intent(LATEST).load_chosen({1, 2})
    assert changes(intent, loading={1, 2}, ready=(), serving={1, 2}) == (set(), set(), set())
    assert intent.failed(2, present={1, 2}).wanted == {1}


@given(versions, versions, versions, versions, versions)
def test_no_change_loads_twice_or_leaves_a_wanted_version_behind(
    wanted, dropped, loading, ready, more
):
    serving = ready | more
    intent = Intent(LATEST, wanted - dropped, dropped=dropped)
    due = changes(intent, loading=loading, ready=ready, serving=serving)
    going = due.retire | due.abandon
    assert due.abandon <= loading
    assert due.retire <= serving
    assert not due.load & (loading | serving)
    assert not going & intent.wanted
    assert intent.wanted <= due.load | loading | serving
    assert (loading | serving) & intent.dropped <= going
    if going - dropped:
        assert intent.wanted <= ready


A, B = (("model", 1, 1),), (("model", 2, 2),)


def test_a_new_folder_counts_once_two_looks_found_the_same_in_it():
    looks = Looks({"toy": {1: A}})
    assert looks.see({"toy": {1: A, 2: ()}}) == {"toy": {1: A}}
    assert looks.see({"toy": {1: A, 2: A}}) == {"toy": {1: A}}
    assert looks.see({"toy": {1: A, 2: B}}) == {"toy": {1: A}}
    assert looks.see({"toy": {1: A, 2: B}}) == {"toy": {1: A, 2: B}}


def test_an_empty_folder_never_counts():
    looks = Looks({"toy": {1: A}})
    for _ in range(3):
        assert looks.see({"toy": {1: A, 2: ()}}) == {"toy": {1: A}}


def test_a_folder_is_gone_once_two_looks_missed_it():
    looks = Looks({"toy": {1: A, 2: A}})
    assert looks.see({"toy": {2: A}}) == {"toy": {1: A, 2: A}}
    assert looks.see({"toy": {1: A, 2: A}}) == {"toy": {1: A, 2: A}}
    assert looks.see({"toy": {2: A}}) == {"toy": {1: A, 2: A}}
    assert looks.see({"toy": {2: A}}) == {"toy": {2: A}}


def test_a_folder_that_changes_stays_as_it_was_until_it_rests():
    looks = Looks({"toy": {1: A}})
    assert looks.see({"toy": {1: B}}) == {"toy": {1: A}}
    assert looks.see({"toy": {1: B}}) == {"toy": {1: B}}


def test_a_directory_that_is_empty_all_at_once_is_not_believed():
    looks = Looks({"toy": {1: A}})
    for _ in range(3):
        assert looks.see({}) == {"toy": {1: A}}


marks = st.dictionaries(st.integers(1, 3), st.sampled_from([(), A, B]), max_size=3)


@given(st.lists(marks.map(lambda found: {"toy": found}), min_size=2, max_size=8))
def test_nothing_new_counts_that_was_not_seen_twice_alike(seen):
    looks = Looks(seen[0])
    known = set(seen[0]["toy"])
    before = seen[0]
    for found in seen[1:]:
        settled = looks.see(found).get("toy", {})
        now = found if found["toy"] else before
        for version in settled.keys() - known:
            assert settled[version] == now["toy"][version] == before["toy"][version] != ()
        known, before = set(settled), now
