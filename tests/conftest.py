"""What holds for every test."""

from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A blocking call of ours on the event loop fails the test that caused it."""
    with blockbuster_ctx(["shared", "services"]) as guard:
        # Starting a thread takes a lock for a moment, and asyncio starts one per child process.
        guard.functions["threading.Lock.acquire"].deactivate()
        yield
