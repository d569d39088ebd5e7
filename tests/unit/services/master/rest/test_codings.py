"""gzip in both directions, never more of it than allowed."""

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.master.rest.codings import deflate, inflate, is_gzip, takes_gzip
from services.master.rest.statuses import TooLarge, UnknownCoding
from shared.errors import InvalidRequest


@given(st.binary(max_size=5000), st.integers(1, 3))
def test_what_was_packed_comes_out_again_whatever_the_members(body, members):
    packed = b"".join(gzip.compress(body) for _ in range(members))
    assert inflate(packed, 20_000) == body * members
    assert inflate(deflate(body), 5000) == body


@given(st.binary(min_size=1, max_size=200))
def test_what_is_no_gzip_is_the_clients_fault(body):
    with pytest.raises(InvalidRequest):
        inflate(body, 1000)


def test_half_a_gzip_is_no_body():
    with pytest.raises(InvalidRequest, match="ends before its gzip does"):
        inflate(gzip.compress(b"a" * 1000)[:-3], 10_000)


def test_a_little_that_becomes_much_is_refused_before_it_is_held():
    bomb = gzip.compress(bytes(200 << 20), compresslevel=9)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="when inflated"):
            inflate(bomb, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [(b"", False), (b"identity", False), (b"gzip", True), (b" GZIP ", True), (b"x-gzip", True)],
)
def test_codings_of_requests(coding, packed):
    assert is_gzip(coding) == packed


@pytest.mark.parametrize("coding", [b"br", b"gzip, gzip", b"deflate", b"\xff" * 1000])
def test_other_codings_are_unknown(coding):
    with pytest.raises(UnknownCoding, match="expected gzip or none"):
        is_gzip(coding)


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        (b"", False),
        (b"gzip", True),
        (b"gzip, deflate, br", True),
        (b"br;q=1.0, GZIP;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip; q=0.000, *", False),
        (b"*", True),
        (b"*;q=0", False),
        (b"identity", False),
        (b"gzip;q=much", False),
        (b"\xff;;==,", False),
    ],
)
def test_who_takes_gzip(accepted, takes):
    assert takes_gzip(accepted) == takes
