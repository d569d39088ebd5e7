"""The HTTP/2 core without I/O: two cores talk, and one is attacked."""

import contextlib
import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.wire.http2 import frames as f
from shared.wire.http2.core import Connection
from shared.wire.http2.frames import Code, Setting
from shared.wire.http2.headers import HeaderReader, HeaderWriter
from shared.wire.http2.limits import Limits, ProtocolFault

REQUEST = HeaderWriter().write(
    ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/a/b"), (b"te", b"trailers"))
)
SMALL = Limits(max_streams=4, max_header_bytes=2048, max_nuisance=50)


class Recorder:
    """A handler that remembers, and takes data off the window at once when told to."""

    def __init__(self, *, takes=True):
        self.events = []
        self.data = {}
        self.core = None
        self._takes = takes

    def on_headers(self, stream, parsed, *, end):
        self.events.append(("headers", stream, tuple(parsed), end))

    def on_data(self, stream, data, *, end):
        self.data[stream] = self.data.get(stream, b"") + bytes(data)
        self.events.append(("data", stream, end))
        if self._takes:
            self.core.consumed(stream, len(data))

    def on_reset(self, stream, code):
        self.events.append(("reset", stream, code))

    def on_drained(self, stream):
        self.events.append(("drained", stream))

    def on_goaway(self, last_stream, code):
        self.events.append(("goaway", last_stream, code))


def core(*, is_client, limits=SMALL, takes=True):
    recorder = Recorder(takes=takes)
    reader = HeaderReader(tuple, max_bytes=limits.max_header_bytes)
    recorder.core = Connection(recorder, reader, is_client=is_client, limits=limits)
    return recorder.core, recorder


def output(made):
    return b"".join(bytes(part) for part in made.take_output())


def server(limits=SMALL):
    """A server whose client has said its first words."""
    made, recorder = core(is_client=False, limits=limits)
    output(made)
    made.receive(f.PREFACE + f.settings_frame({}))
    output(made)
    return made, recorder


def pump(one, other):
    """Carry bytes until nobody has any."""
    while True:
        there, back = output(one), output(other)
        if not there and not back:
            return
        other.receive(there)
        one.receive(back)


def test_a_call_goes_there_and_its_answer_comes_back():
    client, heard = core(is_client=True)
    made, asked = core(is_client=False)
    number = client.open_stream(REQUEST, end=False)
    client.send_data(number, b"question", end=True)
    pump(client, made)
    assert [event[0] for event in asked.events] == ["headers", "data"]
    assert asked.data[number] == b"question"
    made.send_headers(number, HeaderWriter().write(((b":status", b"200"),)))
    made.send_data(number, b"answer")
    made.send_trailers(number, HeaderWriter().write(((b"grpc-status", b"0"),)))
    pump(client, made)
    assert heard.data[number] == b"answer"
    assert heard.events[-1] == ("headers", number, ((b"grpc-status", b"0"),), True)
    assert client.open_streams == made.open_streams == 0


@given(st.lists(st.integers(0, 300_000), min_size=1, max_size=4), st.booleans())
@settings(deadline=None, max_examples=30)
def test_data_larger_than_every_window_arrives_whole_and_in_order(sizes, wide):
    limits = Limits() if wide else Limits(stream_window=70_000, connection_window=100_000)
    client, _ = core(is_client=True, limits=limits)
    made, asked = core(is_client=False, limits=limits)
    pump(client, made)
    sent = {}
    for size in sizes:
        number = client.open_stream(REQUEST, end=False)
        sent[number] = bytes(n % 251 for n in range(min(size, 1000))) * (size // 1000 + 1)
        client.send_data(number, sent[number], end=True)
    pump(client, made)
    assert asked.data == sent
    assert client.stalled_bytes == 0


def test_a_peer_that_takes_nothing_gets_no_more_than_its_window():
    limits = Limits(stream_window=70_000, connection_window=100_000)
    client, _ = core(is_client=True, limits=limits)
    made, asked = core(is_client=False, limits=limits, takes=False)
    pump(client, made)
    number = client.open_stream(REQUEST, end=False)
    assert not client.send_data(number, b"x" * 500_000, end=True)
    pump(client, made)
    assert len(asked.data[number]) == 70_000
    assert client.stalled_bytes == 430_000


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=20))
@settings(deadline=None)
def test_events_do_not_depend_on_how_bytes_are_cut(steps):
    client, _ = core(is_client=True)
    for body in (b"", b"one", b"x" * 5000):
        client.send_data(client.open_stream(REQUEST, end=False), body, end=True)
    stream = output(client)
    whole, cut = core(is_client=False), core(is_client=False)
    whole[0].receive(stream)
    at = 0
    for step in itertools.cycle(steps):
        cut[0].receive(stream[at : at + step])
        at += step
        if at >= len(stream):
            break
    assert cut[1].events == whole[1].events
    assert cut[1].data == whole[1].data


@given(st.binary(max_size=400), st.booleans())
@settings(max_examples=400)
def test_no_bytes_of_a_peer_do_worse_than_end_the_connection(noise, polite):
    made, _ = core(is_client=False)
    with contextlib.suppress(ProtocolFault):
        made.receive((f.PREFACE + f.settings_frame({}) if polite else b"") + noise)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 11),
            st.integers(0, 255),
            st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
            st.one_of(st.binary(max_size=60), st.just(REQUEST), st.just(b"\0\0\0\1")),
        ),
        max_size=30,
    ),
    st.booleans(),
)
@settings(max_examples=400)
def test_no_frames_of_a_peer_do_worse_than_end_the_connection(frames, is_client):
    made, _ = core(is_client=is_client)
    if is_client:
        made.open_stream(REQUEST, end=False)
    stream = b"" if is_client else f.PREFACE
    try:
        made.receive(stream + b"".join(f.frame(*each) for each in frames))
    except ProtocolFault:
        return
    assert made.open_streams <= SMALL.max_streams + 1


def attack(*frames, limits=SMALL):
    """What a server answers to frames: the code with which it ends the connection."""
    made, _ = server(limits)
    with pytest.raises(ProtocolFault) as fault:
        for each in frames:
            made.receive(each)
    return fault.value.code


def headers(stream, *, flags=f.END_HEADERS, block=REQUEST):
    return f.frame(f.HEADERS, flags, stream, block)


def test_bytes_that_are_not_http2_end_the_connection():
    made, _ = core(is_client=False)
    with pytest.raises(ProtocolFault, match="not HTTP/2"):
        made.receive(b"GET / HTTP/1.1\r\n\r\n")


def test_rapid_reset_is_stopped():
    """CVE-2023-44487: streams opened and reset at once."""
    calls = [
        part for n in range(1, 400, 2) for part in (headers(n), f.rst_stream_frame(n, Code.CANCEL))
    ]
    assert attack(*calls) == Code.ENHANCE_YOUR_CALM


def test_now_and_then_a_reset_is_forgiven():
    made, _ = server()
    for n in range(1, 2000, 2):
        made.receive(headers(n) + f.rst_stream_frame(n, Code.CANCEL))
        made.nuisance.forgive(3)


def test_a_continuation_flood_is_stopped():
    """CVE-2024-27316: a header block without end."""
    flood = [f.frame(f.CONTINUATION, 0, 1, b"")] * 100
    assert attack(headers(1, flags=0), *flood) == Code.ENHANCE_YOUR_CALM


def test_a_header_block_beyond_its_bytes_is_refused():
    assert attack(headers(1, block=b"\0" * 3000)) == Code.ENHANCE_YOUR_CALM
    parts = [f.frame(f.CONTINUATION, 0, 1, b"x" * 500)] * 5
    assert attack(headers(1, flags=0), *parts) == Code.ENHANCE_YOUR_CALM


def test_a_header_bomb_is_refused():
    """A small block that means a large one: one long field, indexed many times."""
    field = HeaderWriter().write(((b"x-a", b"v" * 1000),))
    insert = b"\x40" + field[1:]  # with incremental indexing
    assert attack(headers(1, block=insert + b"\xbe" * 50)) == Code.COMPRESSION_ERROR


@pytest.mark.parametrize(
    "frame",
    [
        f.frame(f.PING, 0, 0, b"12345678"),
        f.frame(f.PING, f.ACK, 0, b"12345678"),
        f.settings_frame({}),
        f.frame(f.SETTINGS, f.ACK, 0),
        f.goaway_frame(0, 0),
        f.frame(f.PRIORITY, 0, 1, b"\0\0\0\0\1"),
        f.frame(0xFA, 0, 0, b"unknown"),
    ],
    ids=["ping", "ping ack", "settings", "settings ack", "goaway", "priority", "unknown"],
)
def test_floods_of_frames_that_do_nothing_are_stopped(frame):
    assert attack(*[frame] * 100) == Code.ENHANCE_YOUR_CALM


def test_resets_that_a_peer_makes_us_send_count_as_its_own():
    """CVE-2025-8671: frames that break the rules of a stream whose work has begun."""
    calls = [part for n in range(1, 400, 2) for part in (headers(n), f.window_update_frame(n, 0))]
    assert attack(*calls) == Code.ENHANCE_YOUR_CALM


def test_a_frame_of_many_settings_is_refused():
    """CVE-2020-11080."""
    many = f.frame(f.SETTINGS, 0, 0, struct.pack(">HI", 0xF0, 0) * 33)
    assert attack(many) == Code.ENHANCE_YOUR_CALM


def test_of_a_setting_that_repeats_the_last_one_holds():
    made, _ = server()
    made.receive(headers(1))
    both = struct.pack(">HIHI", Setting.INITIAL_WINDOW_SIZE, 0, Setting.INITIAL_WINDOW_SIZE, 7)
    made.receive(f.frame(f.SETTINGS, 0, 0, both))
    assert not made.send_data(1, b"x" * 8)
    assert made.stalled_bytes == 1


def test_windows_opened_byte_by_byte_while_much_waits_are_stopped():
    """CVE-2019-9511: each byte costs a walk over what waits."""
    made, _ = server()
    made.receive(headers(1) + f.window_update_frame(1, 1 << 20))
    assert not made.send_data(1, b"x" * (1 << 20))
    with pytest.raises(ProtocolFault) as fault:
        made.receive(f.window_update_frame(0, 1) * 100)
    assert fault.value.code == Code.ENHANCE_YOUR_CALM


@pytest.mark.parametrize("shared", [False, True])
def test_a_peer_that_heeds_no_window_is_stopped(shared):
    limits = Limits(stream_window=70_000, connection_window=100_000)
    made, _ = core(is_client=False, limits=limits, takes=False)
    made.receive(f.PREFACE + f.settings_frame({}) + headers(1) + headers(3))
    part = [f.frame(f.DATA, 0, number, b"x" * 10_000) for number in (1, 3)]
    made.receive(part[0] * 7 + part[1] * (3 if shared else 0))
    with pytest.raises(ProtocolFault) as fault:
        made.receive(part[1 if shared else 0])
    assert fault.value.code == Code.FLOW_CONTROL_ERROR


def test_a_window_that_was_used_and_opened_may_be_used_again():
    limits = Limits(stream_window=70_000, connection_window=100_000)
    made, recorder = core(is_client=False, limits=limits)
    made.receive(f.PREFACE + f.settings_frame({}) + headers(1))
    for _ in range(100):
        made.receive(f.frame(f.DATA, 0, 1, b"x" * 10_000))
    assert len(recorder.data[1]) == 1_000_000


def test_a_flood_of_empty_data_is_stopped():
    """CVE-2019-9518."""
    assert attack(headers(1), *[f.frame(f.DATA, 0, 1)] * 100) == Code.ENHANCE_YOUR_CALM


def test_more_streams_than_allowed_are_refused_and_the_others_live():
    made, recorder = server()
    made.receive(b"".join(headers(n) for n in range(1, 13, 2)))
    assert [event[1] for event in recorder.events] == [1, 3, 5, 7]
    assert f.rst_stream_frame(9, Code.REFUSED_STREAM) in output(made)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([f.head(f.DATA, 0, 1, 1 << 20)], Code.FRAME_SIZE_ERROR),
        ([f.frame(f.DATA, 0, 1, b"x")], Code.PROTOCOL_ERROR),
        ([headers(2)], Code.PROTOCOL_ERROR),
        ([headers(0)], Code.PROTOCOL_ERROR),
        ([headers(1, flags=0), headers(3)], Code.PROTOCOL_ERROR),
        ([headers(1, flags=0, block=b""), headers(3)], Code.PROTOCOL_ERROR),
        ([headers(1, flags=0), f.frame(f.CONTINUATION, 0, 3)], Code.PROTOCOL_ERROR),
        ([f.frame(f.CONTINUATION, f.END_HEADERS, 1)], Code.PROTOCOL_ERROR),
        ([f.frame(f.PUSH_PROMISE, 0, 1, b"\0\0\0\2")], Code.PROTOCOL_ERROR),
        ([headers(1), f.frame(f.DATA, f.PADDED, 1, b"\x09abc")], Code.PROTOCOL_ERROR),
        ([headers(1, block=b"\xff\xff\xff\xff\xff\xff")], Code.COMPRESSION_ERROR),
        ([f.window_update_frame(0, 0)], Code.FLOW_CONTROL_ERROR),
        ([f.window_update_frame(0, 2**31 - 1)], Code.FLOW_CONTROL_ERROR),
        ([f.window_update_frame(5, 1)], Code.PROTOCOL_ERROR),
        ([f.rst_stream_frame(5, 0)], Code.PROTOCOL_ERROR),
        ([f.frame(f.PING, 0, 0, b"short")], Code.FRAME_SIZE_ERROR),
        ([f.frame(f.SETTINGS, 0, 0, b"short")], Code.FRAME_SIZE_ERROR),
        ([f.frame(f.SETTINGS, 0, 0, struct.pack(">HI", 4, 2**31))], Code.FLOW_CONTROL_ERROR),
        ([f.frame(f.SETTINGS, 0, 0, struct.pack(">HI", 5, 1))], Code.PROTOCOL_ERROR),
        ([f.frame(f.GOAWAY, 0, 0, b"short")], Code.FRAME_SIZE_ERROR),
        (
            [
                headers(1),
                f.window_update_frame(1, 2**31 - 1 - f.DEFAULT_WINDOW),
                f.settings_frame({Setting.INITIAL_WINDOW_SIZE: f.DEFAULT_WINDOW + 1}),
            ],
            Code.FLOW_CONTROL_ERROR,
        ),
    ],
)
def test_what_breaks_the_protocol_ends_the_connection_with_its_code(frames, code):
    assert attack(*frames) == code


def test_nothing_follows_the_end_of_an_answer():
    """A handler that fails while it is being ended must not write on a closed stream."""
    made, _ = server()
    made.receive(headers(1))
    made.send_trailers(1, HeaderWriter().write(((b"grpc-status", b"4"),)))
    output(made)
    made.send_headers(1, REQUEST)
    made.send_data(1, b"late")
    made.send_trailers(1, REQUEST)
    assert output(made) == b""
    assert made.is_open(1)


def test_a_window_beyond_its_bounds_ends_that_stream_alone():
    made, recorder = server()
    made.receive(headers(1) + headers(3) + f.window_update_frame(1, 2**31 - 1))
    assert recorder.events[-1] == ("reset", 1, Code.FLOW_CONTROL_ERROR)
    assert made.is_open(3)


def test_after_goaway_new_streams_are_refused_and_open_ones_go_on():
    made, recorder = server()
    made.receive(headers(1))
    made.go_away()
    made.receive(headers(3) + f.frame(f.DATA, f.END_STREAM, 1, b"x"))
    assert recorder.events[-1] == ("data", 1, True)
    assert f.rst_stream_frame(3, Code.REFUSED_STREAM) in output(made)


def test_what_crosses_a_farewell_is_taken_and_what_follows_its_echo_is_not():
    made, _ = server()
    made.say_farewell()
    said = output(made)
    ping = f.frame(f.PING, 0, 0, b"farewell")
    assert said == f.goaway_frame(2**31 - 1, Code.NO_ERROR) + ping
    made.receive(headers(1))
    assert made.is_open(1)
    assert not made.closing
    made.receive(f.frame(f.PING, f.ACK, 0, b"farewell"))
    assert output(made) == f.goaway_frame(1, Code.NO_ERROR)
    made.receive(headers(3))
    assert not made.is_open(3)
    assert made.is_open(1)


def test_a_fault_is_told_also_after_a_farewell():
    made, _ = server()
    made.go_away()
    output(made)
    made.go_away(Code.PROTOCOL_ERROR, "reason")
    assert output(made) == f.goaway_frame(0, Code.PROTOCOL_ERROR, b"reason")
