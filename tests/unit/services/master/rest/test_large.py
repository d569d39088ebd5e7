"""The process for large JSON: a real one, before callers that a test orders."""

import asyncio

import psutil
import pytest

from services.master.rest.large import LargeJson
from shared.deadline import Deadline
from shared.errors import InternalError, InvalidRequest
from shared.tasks import task_scope

BODY = b'{"instances": [{"x": 1}]}'


def processes():
    below = psutil.Process().children(recursive=True)
    return [each for each in below if "services.master.rest.large_process" in each.cmdline()]


@pytest.fixture
async def read():
    """Reads a body; in a test's order, because each call has its place once it returns."""
    async with asyncio.timeout(60), task_scope() as scope:
        large = LargeJson(scope, hang_seconds=60.0)

        async def start(body=BODY):
            deadline = Deadline.after(60.0, now=asyncio.get_running_loop().time())
            reading = asyncio.create_task(large.read("/model/toy:predict", body, deadline))
            for _ in range(5):  # turns of the loop: it waits, and the process was given work
                await asyncio.sleep(0)
            return reading

        yield start


async def test_a_process_that_ends_fails_what_it_was_at_and_nothing_that_waits(read):
    message = await (await read())
    (first,) = processes()
    first.suspend()
    at_work, leaver, waiting = await read(), await read(), await read()
    leaver.cancel()
    first.kill()
    with pytest.raises(InternalError, match="reads and writes large JSON has ended"):
        await at_work
    assert await waiting == message
    (second,) = processes()
    assert second != first


async def test_a_process_that_ends_while_it_has_nothing_to_do_fails_nobody(read):
    message = await (await read())
    (first,) = processes()
    first.kill()
    await asyncio.to_thread(first.wait, 10)
    for _ in range(2):
        assert await (await read()) == message


async def test_what_is_wrong_with_a_body_is_told(read):
    with pytest.raises(InvalidRequest, match="Illegal JSON format"):
        await (await read(b"{"))
