"""How much a peer may send us, and when it hears of more."""

import pytest

from shared.wire.http2.frames import Code
from shared.wire.http2.incoming import IncomingWindow
from shared.wire.http2.limits import ProtocolFault


def test_more_than_the_window_is_a_fault():
    window = IncomingWindow(100)
    window.charge(100, "that")
    with pytest.raises(ProtocolFault, match="more data than that") as fault:
        window.charge(1, "that")
    assert fault.value.code is Code.FLOW_CONTROL_ERROR


def test_the_peer_hears_of_more_room_when_half_of_the_window_is_done_with():
    window = IncomingWindow(100)
    window.charge(100, "")
    assert (window.consumed(50), window.room) == (0, 0)
    assert (window.consumed(1), window.room) == (51, 51)
    assert (window.consumed(49), window.room) == (0, 51)


def test_a_window_may_begin_with_more_room_than_it_has_later():
    window = IncomingWindow(10, 60)
    window.charge(60, "")
    assert [window.consumed(6), window.consumed(5)] == [6, 0]
    assert IncomingWindow(100, 60).room == 100
