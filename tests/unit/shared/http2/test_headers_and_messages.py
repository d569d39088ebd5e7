"""Header blocks that repeat, and messages cut out of a stream."""

import gzip
import random
import sys

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wire.http2 import grpc_messages
from shared.wire.http2 import grpc_protocol as grpc
from shared.wire.http2.headers import BadHeaders, HeaderReader, HeaderWriter

FIELDS = st.lists(
    st.tuples(
        st.sampled_from([b":path", b"x-a", b"x-b", b"content-type", b"te"]),
        st.binary(max_size=40).map(lambda b: b.hex().encode()),
    ),
    max_size=6,
)


@given(FIELDS)
def test_what_is_written_reads_back_with_hpack(fields):
    block = HeaderWriter().write(tuple(fields))
    assert list(hpack.Decoder().decode(block, raw=True)) == fields


@given(st.lists(st.tuples(FIELDS, st.booleans()), max_size=12), st.integers(0, 300))
def test_remembered_blocks_mean_what_hpack_says(blocks, table_size):
    """With a dynamic table so small that entries leave it all the time."""
    encoder, plain = hpack.Encoder(), hpack.Decoder()
    encoder.header_table_size = table_size
    reader = HeaderReader(list, max_bytes=1 << 20)
    for fields, again in blocks:
        for _ in range(1 + again):
            block = encoder.encode(fields)
            assert reader.read(block) == list(plain.decode(block, raw=True))


def test_a_block_that_means_the_same_is_read_once():
    calls = []
    reader = HeaderReader(lambda headers: calls.append(headers) or headers, max_bytes=1000)
    block = HeaderWriter().write(((b":path", b"/a"),))
    assert [reader.read(block) for _ in range(3)] == [[(b":path", b"/a")]] * 3
    assert len(calls) == 1


def test_a_block_that_adds_to_the_table_is_never_remembered():
    encoder = hpack.Encoder()
    reader = HeaderReader(list, max_bytes=1000)
    first, second = (encoder.encode([(b"x-a", b"1")]) for _ in range(2))
    assert first != second
    assert reader.read(first) == reader.read(second) == [(b"x-a", b"1")]
    assert reader.read(second) == [(b"x-a", b"1")]


def test_a_block_that_hpack_cannot_read_is_named():
    with pytest.raises(BadHeaders):
        HeaderReader(list, max_bytes=1000).read(b"\xff\xff\xff\xff\xff")


@given(st.lists(st.binary(max_size=300), max_size=6), st.data())
def test_messages_are_cut_the_same_however_they_come(messages, data):
    stream = b"".join(grpc_messages.frame_message(each) for each in messages)
    reader, found, at = grpc_messages.MessageReader(1000), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 200))
        found += reader.feed(stream[at : at + step])
        at += step
    assert found == messages
    assert reader.empty


def test_a_message_that_is_too_large_is_refused_by_its_length_alone():
    with pytest.raises(grpc_messages.MessageTooLarge, match=r"larger than max \(2000 vs. 1000\)"):
        grpc_messages.MessageReader(1000).feed(grpc_messages.frame_message(b"x" * 2000)[:10])
    with pytest.raises(grpc_messages.MessageTooLarge):
        grpc_messages.MessageReader(1000).feed(grpc_messages.frame_message(b"x" * 2000))


def test_a_message_in_small_parts_is_held_in_few_pieces():
    """A part of one byte would cost fifty."""
    reader, whole = grpc_messages.MessageReader(100_000), grpc_messages.frame_message(bytes(50_000))
    for at in range(30_000):
        assert not reader.feed(whole[at : at + 1])
    assert reader.held == 30_000 - grpc_messages.PREFIX_BYTES
    assert sys.getsizeof(reader._parts) + sum(map(sys.getsizeof, reader._parts)) < 60_000
    assert reader.feed(whole[30_000:]) == [bytes(50_000)]


def test_gzip_is_read_but_a_bomb_is_not_inflated():
    reader = grpc_messages.MessageReader(1000, b"gzip")
    (deflated,) = reader.feed(grpc_messages.compress(b"hello" * 50))
    assert type(deflated) is grpc_messages.Deflated
    assert grpc_messages.inflate(deflated, 1000) == b"hello" * 50
    (plain,) = reader.feed(grpc_messages.frame_message(b"hello"))
    assert type(plain) is bytes
    with pytest.raises(grpc_messages.MessageTooLarge):
        grpc_messages.inflate(gzip.compress(b"\0" * 10_000_000), 100_000)
    with pytest.raises(grpc_messages.BadMessage):
        grpc_messages.inflate(b"noise", 1000)
    with pytest.raises(grpc_messages.BadMessage):
        grpc_messages.MessageReader(1000).feed(grpc_messages.compress(b"without an encoding"))


@given(st.binary(max_size=200), st.integers(0, 30_000))
@settings(max_examples=30, deadline=None)
def test_what_was_compressed_inflates_to_itself(content, times):
    message = content * times
    assert (
        grpc_messages.inflate(
            grpc_messages.compress(message)[grpc_messages.PREFIX_BYTES :], 1 << 24
        )
        == message
    )


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3 << 20])
@pytest.mark.parametrize("noise", [False, True])
def test_messages_at_the_bounds_of_pieces_inflate_whole(size, noise):
    message = random.Random(0).randbytes(size) if noise else bytes(size)
    deflated = grpc_messages.compress(message)[grpc_messages.PREFIX_BYTES :]
    assert grpc_messages.inflate(deflated, size) == message
    with pytest.raises(grpc_messages.MessageTooLarge):
        grpc_messages.inflate(deflated, size - 1)


@pytest.mark.parametrize("spoil", [lambda gz: gz[:-1], lambda gz: gz + b"x", lambda gz: b""])
def test_gzip_that_breaks_off_or_goes_on_is_no_message(spoil):
    with pytest.raises(grpc_messages.BadMessage, match="where its gzip ends"):
        grpc_messages.inflate(spoil(gzip.compress(b"hello" * 100)), 1000)


@given(st.floats(1e-6, 1e9))
def test_a_timeout_reads_back_and_never_grows(seconds):
    written = grpc.write_timeout(seconds)
    assert len(written) <= 9
    read = grpc.read_request([(b"grpc-timeout", written)]).timeout
    assert read is not None
    assert seconds * 0.99 - 1e-6 <= read <= seconds or seconds > 99_999_999


@given(st.text())
def test_a_status_message_reads_back(text):
    written = grpc.write_message(text)
    assert written.isascii()
    assert grpc.read_response([(b"grpc-message", written)]).message == text


@given(st.binary())
def test_binary_metadata_reads_back(value):
    assert grpc.read_binary(grpc.write_binary(value)) == value


@pytest.mark.parametrize("timeout", [b"", b"5", b"x", b"-1S", b"999999999S", b"1.5S"])
def test_a_malformed_timeout_is_a_fault(timeout):
    headers = [(b":method", b"POST"), (b"content-type", b"application/grpc")]
    assert grpc.read_request([*headers, (b"grpc-timeout", timeout)]).fault is not None


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"9" * 5000, "\u0663".encode()])
def test_a_status_that_is_no_number_does_no_harm(value):
    read = grpc.read_response([(b":status", value), (b"grpc-status", value)])
    assert (read.http_status, read.grpc_status) == (0, 2)


CALL = [(b":method", b"POST"), (b"content-type", b"application/grpc")]


def test_of_binary_values_under_one_key_the_last_counts():
    read = grpc.read_request([*CALL, (b"x-a-bin", b"AAE,AQ==")])
    assert (read.binary, read.fault) == ({"x-a-bin": b"\x01"}, None)


def test_binary_metadata_that_is_none_is_a_fault():
    assert grpc.read_request([*CALL, (b"x-a-bin", b"a!")]).fault == (
        400,
        "binary metadata that is not base64",
    )


@pytest.mark.parametrize(
    ("content_type", "good"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;charset=utf-8", True),
        (b"application/grpc-web", False),
        (b"application/grpc-web+proto", False),
        (b"application/json", False),
    ],
)
def test_a_call_is_known_by_its_content_type(content_type, good):
    read = grpc.read_request([(b":method", b"POST"), (b"content-type", content_type)])
    assert (read.fault is None) == good
