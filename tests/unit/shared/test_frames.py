"""Frames between a service and its process."""

from hypothesis import given
from hypothesis import strategies as st

from shared.frames import Frame, FrameReader

FRAMES = st.lists(
    st.builds(Frame, st.sampled_from([b"E", b"D"]), st.binary(max_size=40), st.binary(max_size=40)),
    max_size=5,
)


@given(FRAMES, st.lists(st.integers(1, 60), min_size=1))
def test_frames_come_out_as_they_went_in_whatever_the_pieces(frames, sizes):
    data = b"".join(piece for frame in frames for piece in frame.packed())
    reader, seen, turn = FrameReader(), [], 0
    while data:
        size = sizes[turn % len(sizes)]
        seen += reader.feed(data[:size])
        data, turn = data[size:], turn + 1
    assert seen == frames
