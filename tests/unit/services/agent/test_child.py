"""A device process as its supervisor sees it, with a socket pair in place of the process."""

import asyncio
import socket

import pytest

from services.agent.device.channel import EXECUTE, Frame
from services.agent.device.child import Child, NotBegun


async def test_a_message_to_a_process_whose_end_was_just_read_has_not_begun():
    ours, theirs = socket.socketpair()
    with theirs:
        transport, child = await asyncio.get_running_loop().create_unix_connection(Child, sock=ours)
        # As the event loop does on the end of the stream, a turn before it says so.
        transport.close()
        with pytest.raises(NotBegun):
            await child.ask(Frame(EXECUTE, b"head"), 10.0)
