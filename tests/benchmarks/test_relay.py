"""The floor of one caller: a row of processes that pass a message on."""

from benchmarks.relay import round_trip_us, row, table


def test_a_message_walks_along_the_row_and_back():
    with row(3) as caller:
        assert round_trip_us(caller, 5, 0.0) > 0


def test_the_table_shows_medians():
    found = {(1, 0.0): [30.0, 10.0, 20.0], (1, 0.005): [50.0, 40.0, 60.0]}
    assert table(found).splitlines()[-1] == "| 1 | 20 (10 to 30) | 50 (40 to 60) |"
