"""Stop texts are found however a text is cut into pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.language.stops import Stops

LETTERS = st.text("ab", max_size=12)


@given(
    pieces=st.lists(LETTERS, max_size=8), stops=st.lists(LETTERS, max_size=3), include=st.booleans()
)
def test_pieces_say_what_the_whole_says(pieces, stops, include):
    watched = Stops(stops, include=include)
    told = "".join(map(watched.feed, pieces))
    if not watched.stopped_by:
        told += watched.flush()
    whole = "".join(pieces)
    found = {whole.find(stop): stop for stop in sorted(stops, key=len) if stop and stop in whole}
    if not found:
        assert (told, watched.stopped_by) == (whole, "")
        return
    # Whoever is complete first ends the text: nobody waits for a longer one that may come.
    assert watched.stopped_by in stops
    at = whole.find(watched.stopped_by)
    assert told == whole[: at + (len(watched.stopped_by) if include else 0)]


def test_only_what_may_begin_a_stop_text_is_held_back():
    stops = Stops(["</s>"])
    assert stops.feed("abc<") == "abc"
    assert stops.feed("b") == "<b"
    assert stops.feed("</") == ""
    assert stops.flush() == "</"


@pytest.mark.parametrize(("include", "told"), [(False, "one "), (True, "one two")])
def test_nothing_is_told_behind_a_stop_text(include, told):
    stops = Stops(["two"], include=include)
    assert "".join(map(stops.feed, ("one t", "w", "o three", "four"))) == told
    assert stops.stopped_by == "two"
