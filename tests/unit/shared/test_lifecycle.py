"""Signals that end a service."""

import asyncio
import signal

from shared import lifecycle
from shared.lifecycle import Signals


async def test_the_first_signal_drains_and_one_that_comes_later_ends_at_once(monkeypatch):
    ended = []
    monkeypatch.setattr(lifecycle.os, "_exit", ended.append)
    at = [0.0]
    stopping = asyncio.Event()
    signals = Signals(stopping, lambda: at[-1])
    signals.came(signal.SIGTERM)
    assert stopping.is_set()
    # Sent twice, as timeout(1) does it.
    for moment in (0.0, 0.9):
        at.append(moment)
        signals.came(signal.SIGTERM)
    assert not ended
    at.append(1.1)
    signals.came(signal.SIGINT)
    assert ended == [128 + signal.SIGINT]


async def test_a_service_whose_parent_ended_drains_when_it_is_sent_a_signal(monkeypatch):
    monkeypatch.setattr(lifecycle.os, "_exit", lambda status: 1 / 0)
    stopping = asyncio.Event()
    stopping.set()
    Signals(stopping, lambda: 5.0).came(signal.SIGTERM)
