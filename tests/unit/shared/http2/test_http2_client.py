"""The client's end against a server that a test speaks by hand."""

import asyncio
import struct

import pytest

from shared.errors import PeerLost
from shared.wire.native import NativeWire

SETTINGS, RST_STREAM = 4, 3


@pytest.mark.parametrize(
    ("code", "named"), [(8, "CANCEL"), (12, "code 12"), (13, "code 13"), (2**32 - 1, "code 4294")]
)
async def test_a_reset_of_any_code_ends_the_call_and_names_it(code, named):
    served = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"application/grpc")
        writer.write(b"\0\0\0" + bytes([SETTINGS]) + bytes(5))
        reset = bytes([RST_STREAM, 0]) + struct.pack(">II", 1, code)
        writer.write(b"\0\0\4" + reset)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(10), server:
        async with NativeWire().connect(f"127.0.0.1:{port}") as channel:
            with pytest.raises(PeerLost, match=named):
                await channel.call("/a.B/C", b"")
        await served.wait()
