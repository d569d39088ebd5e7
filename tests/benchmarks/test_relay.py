"""The floor of one caller: a row of processes that pass a message on."""

import pytest

from benchmarks.measure import running
from benchmarks.peers.catalogue import PEERS
from benchmarks.relay import round_trip_us, row, table
from benchmarks.rounds import environment_of
from benchmarks.works import WORKS


def test_a_message_walks_along_the_row_and_back():
    with row(3) as caller:
        assert round_trip_us(caller, 5, 0.0) > 0


@pytest.mark.parametrize("key", ["a", "c"])
def test_a_row_behind_our_wire_gives_the_right_answer(key):
    peer = PEERS["row-of-4"]
    # Whoever runs has given one.
    with running(peer, WORKS[key], environment_of(peer)) as server:
        assert server.answer_bytes > WORKS[key].answer().nbytes


def test_a_row_refuses_works_whose_answers_it_cannot_know():
    refused = {key for key, work in WORKS.items() if PEERS["row-of-3"].refuses(work)}
    assert refused == {"d", "e1", "e2"}


def test_the_table_shows_medians():
    found = {(1, 0.0): [30.0, 10.0, 20.0], (1, 0.005): [50.0, 40.0, 60.0]}
    assert table(found).splitlines()[-1] == "| 1 | 20 (10 to 30) | 50 (40 to 60) |"
