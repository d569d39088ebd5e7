"""The event loop of a worker that continues texts: never blocked, never held for long."""

import asyncio
import json
import os
import time

from shared.text_generation import Chat
from tests.support.texts import TEMPLATE, asked, plainly, texts_of_worker_here

# A timer of 1 ms may be so much late, on a machine of its own.
MOST_HELD_SECONDS = 0.01


async def longest_hold(stop: asyncio.Event) -> float:
    """The most seconds of the processor that went by between two turns of a 1 ms timer.

    By the clock of this thread: what others do on this machine does not count.
    """
    longest, before = 0.0, time.thread_time()
    while not stop.is_set():
        await asyncio.sleep(0.001)
        now = time.thread_time()
        longest, before = max(longest, now - before), now
    return longest


def is_overloaded() -> bool:
    """Whether others have this machine: then even the processor's time is several times as long."""
    return os.getloadavg()[0] > 2 * (os.cpu_count() or 1)


async def test_no_caller_holds_the_loop(tmp_path):
    """A blocking call of ours would fail this test by itself: see conftest."""
    async with texts_of_worker_here(tmp_path) as texts:
        await texts.only(asked("Hello", new=4))
        # What is computed for the test itself, on this thread, is computed before.
        expected = [plainly([n], 40) for n in range(16)]
        long = "x" * 300_000
        messages = json.dumps([{"role": "user", "content": "y" * 100}] * 3000)
        assert "for m in messages" in TEMPLATE

        async def longest_hold_under_load():
            stop = asyncio.Event()
            watch = asyncio.create_task(longest_hold(stop))
            made = await asyncio.gather(
                *(texts.only(asked([n], new=40)) for n in range(16)),
                *(texts.only(asked(long, new=4, truncate_prompt_tokens=20)) for _ in range(2)),
                texts.only(asked(Chat(messages), new=4, truncate_prompt_tokens=20)),
            )
            stop.set()
            assert [each.ids for each in made[:16]] == expected
            assert all(len(each.ids) == 4 for each in made[16:])
            return await watch

        # What a caller does holds the loop each time, and the garbage collector of a whole
        # test run does not.
        holds = [await longest_hold_under_load()]
        while len(holds) < 3 and min(holds) >= MOST_HELD_SECONDS:
            holds.append(await longest_hold_under_load())
        # A text that is read on the loop holds it for a third of a second.
        most = MOST_HELD_SECONDS * (10 if is_overloaded() else 1)
        assert min(holds) < most, holds
