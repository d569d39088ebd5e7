"""A device process as its supervisor sees it, with a test at the other end of its socket."""

import asyncio
import os
import socket
from contextlib import asynccontextmanager

import pytest

from services.agent.device.channel import DONE, EXECUTE, SKIPPED
from services.agent.device.child import Child, NotBegun
from services.agent.device.withdrawals import MAX_LINE, Withdrawals, create_page
from shared.child_process import ChildProcess
from shared.frames import Frame, FrameReader
from shared.tasks import task_scope
from tests.support.cluster import until


@asynccontextmanager
async def connected():
    """Its transport, the child, and the process's end: socket and withdrawals."""
    page = create_page()
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    process = await asyncio.create_subprocess_exec("cat", stdin=asyncio.subprocess.PIPE)
    transport, child = await asyncio.get_running_loop().create_unix_connection(
        lambda: Child(ChildProcess(process), Withdrawals(page)), sock=ours
    )
    with theirs:
        yield transport, child, theirs, Withdrawals(page)
    os.close(page)
    transport.abort()
    process.stdin.close()
    await process.wait()


async def asking(child, text):
    task = asyncio.create_task(child.ask(Frame(EXECUTE, text), 10.0))
    await asyncio.sleep(0)
    return task


async def received(theirs, count):
    reader, frames = FrameReader(), []
    async with asyncio.timeout(5):
        while len(frames) < count:
            frames += reader.feed(await asyncio.get_running_loop().sock_recv(theirs, 4096))
    return [frame.head for frame in frames]


def answer(theirs, kind, text=b""):
    theirs.sendall(b"".join(Frame(kind, text).packed()))


async def test_a_message_to_a_process_whose_end_was_just_read_has_not_begun():
    async with connected() as (transport, child, _, _):
        # As the event loop does on the end of the stream, a turn before it says so.
        transport.close()
        with pytest.raises(NotBegun):
            await child.ask(Frame(EXECUTE, b"head"), 10.0)


async def test_the_end_of_a_process_is_noticed_though_somebody_holds_its_socket():
    async with connected() as (_, child, theirs, _), task_scope() as scope:
        scope.spawn(child.attend(), name="attending")
        waiting = await asking(child, b"head")
        assert await received(theirs, 1) == [b"head"]
        child.process.kill()
        async with asyncio.timeout(5):
            assert await child.end() == "SIGKILL"
            with pytest.raises(EOFError):
                await waiting


async def test_what_a_process_said_before_its_end_is_heard():
    async with connected() as (_, child, theirs, _), task_scope() as scope:
        scope.spawn(child.attend(), name="attending")
        waiting = await asking(child, b"head")
        await received(theirs, 1)
        child.process.kill()
        # Its end is seen a turn before its last word.
        await child.process.end()
        answer(theirs, DONE, b"done")
        assert (await waiting).head == b"done"


async def test_a_message_whose_caller_left_is_marked_and_skipped():
    async with connected() as (_, child, theirs, withdrawals):
        tasks = [await asking(child, text) for text in (b"first", b"second", b"third")]
        assert await received(theirs, 3) == [b"first", b"second", b"third"]
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert [withdrawals.withdrawn(number) for number in range(3)] == [False, True, False]
        for kind, text in ((DONE, b"1"), (SKIPPED, b""), (DONE, b"3")):
            answer(theirs, kind, text)
        assert [(await tasks[n]).head for n in (0, 2)] == [b"1", b"3"]
        assert child.waiting == 0


async def test_a_mark_is_gone_when_its_place_is_used_again():
    async with connected() as (_, child, theirs, withdrawals):
        for number in range(MAX_LINE):
            task = await asking(child, b"%d" % number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert withdrawals.withdrawn(number)
            answer(theirs, SKIPPED)
            await until(lambda: not child.waiting, every=0, what="its place to be free")
        last = await asking(child, b"last")
        assert not withdrawals.withdrawn(MAX_LINE)
        answer(theirs, DONE, b"done")
        assert (await last).head == b"done"
