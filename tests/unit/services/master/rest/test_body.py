"""Bodies are read while they come, and never more of them than allowed."""

import asyncio

import pytest

from services.master.rest.body import Bodies, discard_body
from services.master.rest.statuses import TooLarge, TooSlow
from shared.deadline import Deadline
from shared.errors import Cancelled, Overloaded


class Client:
    """Sends pieces; then says nothing more."""

    def __init__(self, *pieces, ends=True):
        self.pieces = list(pieces)
        self.ends = ends
        self.taken = 0

    async def receive(self):
        if not self.pieces:
            await asyncio.get_running_loop().create_future()
        piece = self.pieces.pop(0)
        self.taken += 1
        if piece is None:
            return {"type": "http.disconnect"}
        more = bool(self.pieces) or not self.ends
        return {"type": "http.request", "body": piece, "more_body": more}


def soon(seconds=20.0):
    return Deadline.after(seconds, now=asyncio.get_running_loop().time())


@pytest.mark.parametrize("pieces", [[b""], [b"ab"], [b"a", b"b"], [b"", b"a", b"b", b""]])
async def test_a_body_comes_whole(pieces):
    bodies = Bodies(10, 100)
    assert await bodies.read(Client(*pieces).receive, None, soon()) == b"".join(pieces)


async def test_a_body_as_large_as_allowed_is_read_and_one_byte_more_is_not():
    bodies = Bodies(4, 100)
    assert await bodies.read(Client(b"ab", b"cd").receive, b"4", soon()) == b"abcd"
    client = Client(b"ab", b"cde", b"f")
    with pytest.raises(TooLarge, match="http message is bigger than 4"):
        await bodies.read(client.receive, None, soon())
    assert client.taken == 2
    client = Client(b"abcde")
    with pytest.raises(TooLarge):
        await bodies.read(client.receive, b"5", soon())
    assert client.taken == 0


async def test_a_body_that_stops_is_given_up_and_leaves_room():
    bodies = Bodies(10, 10)
    with pytest.raises(TooSlow, match="got 3 bytes"):
        await bodies.read(Client(b"abc", ends=False).receive, None, soon(0.01))
    with pytest.raises(Cancelled):
        await bodies.read(Client(b"abc", None).receive, None, soon())
    assert await bodies.read(Client(b"12345", b"67890").receive, None, soon()) == b"1234567890"


async def test_all_bodies_on_their_way_are_bounded_together():
    bodies = Bodies(10, 10)
    waiting = asyncio.create_task(
        bodies.read(Client(b"12345678", ends=False).receive, None, soon())
    )
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="the most is 10"):
        await bodies.read(Client(b"123", ends=False).receive, None, soon())
    assert await bodies.read(Client(b"123").receive, None, soon()) == b"123"
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await bodies.read(Client(b"123", b"4").receive, None, soon()) == b"1234"


async def test_what_is_thrown_away_is_read_to_its_end():
    client = Client(b"a", b"b", b"c")
    await discard_body(client.receive)
    assert not client.pieces
    await discard_body(Client(None).receive)
