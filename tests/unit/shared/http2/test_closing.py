"""A transport that closes takes nothing more: what a write does then differs between loops."""

import asyncio

import pytest

from shared.wire.http2.client import ClientConnection
from shared.wire.http2.limits import Limits
from shared.wire.http2.server import Calls, ServerConnection
from shared.wire.interface import Routes


class Transport(asyncio.Transport):
    """Remembers how much was written, and refuses once it closes."""

    def __init__(self):
        super().__init__()
        self.written = 0
        self._closes = False

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def writelines(self, list_of_data):
        assert not self._closes
        self.written += sum(map(len, list_of_data))

    def close(self):
        self._closes = True

    def is_closing(self):
        return self._closes


def server():
    return ServerConnection(Calls(Routes(), max_message_bytes=1000, max_calls=None), Limits())


async def test_a_server_that_drains_writes_nothing_to_a_client_that_has_just_left():
    transport, connection = Transport(), server()
    connection.connection_made(transport)
    assert transport.written
    transport.close()
    connection.drain()
    connection.close()
    connection.connection_lost(None)


async def test_a_client_that_closes_writes_nothing_to_a_server_that_has_just_left():
    transport, connection = Transport(), ClientConnection("somewhere", Limits())
    connection.connection_made(transport)
    assert transport.written
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await connection.call("/test.Service/Echo", b"hello", None, {})
    transport.close()
    connection.close()
