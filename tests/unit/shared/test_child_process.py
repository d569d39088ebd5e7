"""Children of a service: real ones."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from shared.child_process import child_process
from tests.support.cluster import until

MODULE = "children_of_tests"


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Starts one that runs this text, with ``link`` as its end of the socket."""

    def start(text):
        program = f"import socket, sys\nlink = socket.socket(fileno=int(sys.argv[1]))\n{text}\n"
        (tmp_path / f"{MODULE}.py").write_text(program)
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return child_process(MODULE, ["x"], Attending, environment=environment)

    return start


class Attending(asyncio.Protocol):
    def __init__(self, process):
        self.process = process
        self.heard = asyncio.Event()
        self.lost = asyncio.Event()
        self.text = b""

    def data_received(self, data):
        self.text += data
        self.heard.set()

    def connection_lost(self, exc):
        self.lost.set()


@pytest.mark.parametrize(
    ("end", "cause"),
    [
        ("sys.exit(3)", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        # It lets go of the socket and lives on.
        ("import signal; link.close(); signal.pause()", "SIGKILL"),
    ],
)
async def test_the_cause_of_an_end_is_told_even_if_the_process_lingers(child, end, cause):
    async with asyncio.timeout(20), child(end) as attending:
        await attending.lost.wait()
        assert await attending.process.cause() == cause


async def test_a_child_ends_when_nobody_attends_to_it_any_more(child):
    async with (
        asyncio.timeout(20),
        child(
            "import os, signal; link.sendall(str(os.getpid()).encode()); signal.pause()"
        ) as attending,
    ):
        await attending.heard.wait()
        number = int(attending.text)
        assert Path(f"/proc/{number}").exists()
    assert not Path(f"/proc/{number}").exists()


async def test_a_child_is_known_to_be_stopped_until_it_goes_on_or_ends(child):
    async with child("import signal; link.sendall(b'there'); signal.pause()") as attending:
        await attending.heard.wait()
        process = attending.process
        assert not process.stopped
        os.kill(process.pid, signal.SIGSTOP)
        await until(lambda: process.stopped, what="the stop")
        assert process.stopped
        os.kill(process.pid, signal.SIGCONT)
        await until(lambda: not process.stopped, what="the process to go on")
        os.kill(process.pid, signal.SIGSTOP)
        await until(lambda: process.stopped, what="the stop")
        process.kill()
        assert await process.end() == "SIGKILL"
        assert not process.stopped


async def test_who_leaves_a_child_is_not_hurried_past_its_end(child):
    numbers = []

    async def attend():
        async with child("import signal; link.sendall(b'there'); signal.pause()") as attending:
            await attending.heard.wait()
            numbers.append(attending.process.pid)
            await attending.lost.wait()

    leaving = asyncio.create_task(attend())
    await until(lambda: numbers, what="the child")
    leaving.cancel()
    await asyncio.sleep(0)
    # It waits for the end of the child now.
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert not Path(f"/proc/{numbers[0]}").exists()
