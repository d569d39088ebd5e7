import asyncio

import pytest
from prometheus_client import CollectorRegistry

from services.master.admission import Admission
from services.master.metrics import Metrics
from shared.errors import Draining, Overloaded


def admission(limit):
    return Admission(limit, Metrics(CollectorRegistry()))


async def test_one_more_than_the_limit_is_refused_at_once_and_a_leaver_makes_room():
    door = admission(1)
    with door:
        with pytest.raises(Overloaded) as refusal, door:
            pass
    assert refusal.value.message == "Serving Error: enqueued requests count exceeds the limit 1"
    with door:
        pass


async def test_a_request_that_fails_leaves_its_place():
    door = admission(1)
    with pytest.raises(KeyError), door:
        raise KeyError
    with door:
        pass


async def test_draining_refuses_and_ends_when_the_last_has_left():
    door = admission(5)
    with door:
        draining = asyncio.create_task(door.drain())
        await asyncio.wait([draining], timeout=0)
        with pytest.raises(Draining), door:
            pass
        assert not draining.done()
    await draining
