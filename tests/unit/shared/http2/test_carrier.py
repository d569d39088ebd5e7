"""When a connection writes what its streams send."""

import asyncio

from shared.wire.http2.carrier import Carrier


class Core:
    """Collects messages, of which each is written as it is."""

    closing, open_streams = False, 2

    def __init__(self):
        self.output = []

    def send_message(self, stream, prefix, message):
        del stream, prefix
        self.output.append(message)
        return True

    def take_output(self):
        output, self.output = self.output, []
        return output


class Transport(asyncio.Transport):
    """Notes each write."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def is_closing(self):
        return False

    def writelines(self, list_of_data):
        self.writes.append(b"".join(list_of_data))


def connected():
    carrier, transport = Carrier(), Transport()
    carrier._core = Core()
    carrier.connection_made(transport)
    return carrier, transport


async def test_what_streams_send_soon_in_one_turn_is_one_write():
    carrier, transport = connected()
    for stream in (1, 3, 5):
        assert carrier.send_on(stream, [b"%d" % stream], first=False, soon=True)
    assert transport.writes == []
    await asyncio.sleep(0)
    assert transport.writes == [b"135"]
    await asyncio.sleep(0)
    assert transport.writes == [b"135"]


async def test_what_is_sent_at_once_takes_along_what_was_to_be_sent_soon():
    carrier, transport = connected()
    carrier.send_on(1, [b"a", b"b"], first=False, soon=True)
    carrier.send_on(3, [b"c"], first=False, soon=False)
    assert transport.writes == [b"abc"]
    carrier.send_on(1, [b"d"], first=False, soon=True)
    await asyncio.sleep(0)
    assert transport.writes == [b"abc", b"d"]
