"""What connections that do nothing cost the master."""

import asyncio
import time
from contextlib import AsyncExitStack

from benchmarks.measure import Running, running
from benchmarks.peers.mindserve import Mindserve
from benchmarks.scaling.loads import MASTER, Say
from benchmarks.scaling.peers import OURS
from benchmarks.scaling.points import Idle
from benchmarks.works import WORKS
from shared.wire.native import NativeWire

SETTLE_SECONDS = 2.0
AT_ONCE = 50


def idle(wire: str, connections: int, number: int, say: Say) -> Idle:
    """Connections that have carried one request each."""
    say(f"{connections} connections")
    with running(Mindserve("mindserve", wire), WORKS["a"], OURS) as server:
        asyncio.run(_ask(server, AT_ONCE))  # what the first ones cost once does not count
        time.sleep(SETTLE_SECONDS)
        before = _memory(server)
        during = asyncio.run(_ask(server, connections))
        time.sleep(SETTLE_SECONDS)
        return Idle(wire, number, connections, before, during, _memory(server))


async def _ask(server: Running, connections: int) -> int:
    """Open connections, use each once, and tell the master's memory while all are idle."""
    room = asyncio.Semaphore(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def ask() -> None:
            async with room:
                wire = NativeWire().connect(f"127.0.0.1:{server.port}")
                channel = await stack.enter_async_context(wire)
                answer = await channel.call(server.call.path, server.call.body)
                assert server.call.is_right(answer), answer

        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(ask())
        await asyncio.sleep(SETTLE_SECONDS)
        return _memory(server)


def _memory(server: Running) -> int:
    return server.processes.written_memory(MASTER)
