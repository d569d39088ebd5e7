"""What a master knows of its workers."""

import random

import pytest
from prometheus_client import CollectorRegistry

from services.master.language_models import LanguageModels
from services.master.metrics import Metrics
from services.master.router import Router
from services.master.workers import Workers
from shared.health import HealthBoard
from shared.membership import Heartbeat, Hello
from shared.tasks import task_scope
from shared.wire.native import NativeWire


@pytest.fixture
async def workers():
    async with task_scope() as scope:
        router = Router(random.Random(1))
        yield Workers(
            NativeWire(), scope, router, HealthBoard(), Metrics(CollectorRegistry()),
            LanguageModels(router.labels), max_outstanding=10,
        )  # fmt: skip


async def test_the_load_that_a_worker_has_from_others_counts(workers):
    hello = Hello("w", "127.0.0.1:1")
    workers.joined(hello)
    assert workers.outstanding("w") == 0
    workers.reported(hello, Heartbeat(7))
    assert workers.outstanding("w") == 7
    workers.reported(hello, Heartbeat(2))
    assert workers.outstanding("w") == 2


async def test_the_last_words_of_a_worker_that_left_harm_nobody(workers):
    hello = Hello("w", "127.0.0.1:1")
    workers.joined(hello)
    workers.left(hello, "left")
    workers.reported(hello, Heartbeat(7))
