"""A version from its load to its end, as a worker offers it."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.worker.batching.policy import BatchingPolicy
from services.worker.gangs.rules import GangRules
from services.worker.metrics import Metrics
from services.worker.servable.loader import load
from services.worker.servable.wanted import Wanted
from services.worker.servings import Servings
from shared.membership import Hello, Holding, Holdings, ModelSignature, SubgraphSignature
from shared.repository import VersionState
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.tensors import ElementType, TensorSpec
from shared.wire.exchange_server import serve_exchange
from shared.wire.interface import Routes
from shared.wire.native import NativeWire
from tests.support.cluster import add_servable, until

ONE, TWO = ServableVersion("toy", 1), ServableVersion("toy", 2)
SPEC = TensorSpec("x1", ElementType.FLOAT32, (-1, 2))
SIGNATURE = ModelSignature("model.json", (SubgraphSignature((SPEC,), (SPEC,)),), 32)


class Agents:
    """Agents that say of themselves what a test says."""

    def __init__(self, servings: Servings, address: str) -> None:
        self._servings = servings
        self._address = address

    async def join(self, name: str) -> None:
        agents = self._servings.agents
        before = len(agents.standings(ONE))
        agents.joined(Hello(name, self._address))
        await until(lambda: len(agents.standings(ONE)) > before, what=f"the link to {name}")

    def report(self, name: str, **states: str) -> None:
        holdings = [
            Holding(ServableVersion("toy", int(key[1:])), state, "why", (SIGNATURE,))
            for key, state in states.items()
        ]
        self._servings.agents.reported(Hello(name, self._address), Holdings(tuple(holdings)))


@pytest.fixture
async def cluster(tmp_path: Path):
    """Servings, what to load into them, and agents."""
    for version in (1, 2):
        add_servable(tmp_path, version=version)
    loaded = [
        await asyncio.to_thread(load, tmp_path, Wanted("toy", v), max_batch_size=32) for v in (1, 2)
    ]
    wire = NativeWire()

    async def execute(incoming):
        return b""

    async def exchange(context, stream):
        await serve_exchange(stream, execute, max_outstanding=9)

    routes = Routes(streams={"/mindserve.serving.v1.Execution/Exchange": exchange})
    async with wire.serve(routes, ["127.0.0.1:0"]) as server, task_scope() as scope:
        servings = Servings(
            wire, scope, Metrics(CollectorRegistry()), min_agents=1, max_calls=9,
            agents_at_start=1, batching=BatchingPolicy(9), changed=lambda: None,
            gangs=GangRules(), notify=lambda *news: None,
            expel=lambda *news: None, unfit=lambda failure: None,
        )  # fmt: skip
        yield servings, loaded, Agents(servings, server.addresses[0])


def offered(servings):
    return [offer.what.version for offer in servings.offers().offers]


async def test_the_next_version_is_offered_when_all_agents_that_serve_the_last_one_hold_it(cluster):
    servings, (one, two), agents = cluster
    for name in ("a", "b"):
        await agents.join(name)
    servings.add(one)
    for name in ("a", "b"):
        agents.report(name, v1="ready")
    second = servings.add(two)
    agents.report("a", v1="ready", v2="ready")
    assert offered(servings) == [1]
    assert second.state is VersionState.LOADING
    assert servings.resolve("toy", "predict", 0) == 1
    agents.report("b", v1="ready", v2="ready")
    assert offered(servings) == [1, 2]
    assert servings.resolve("toy", "predict", 0) == 2
    # Once it has begun, it is served as long as anybody holds it.
    agents.report("b", v1="ready", v2="loading")
    assert offered(servings) == [1, 2]


async def test_a_load_that_failed_is_settled_and_stays_failed(cluster):
    servings, (one, two), agents = cluster
    await agents.join("a")
    servings.add(one)
    agents.report("a", v1="ready")
    second = servings.add(two)
    agents.report("a", v1="ready", v2="failed")
    assert second.settled.is_set()
    assert (second.state, second.progress.detail) == (VersionState.FAILED, "why")
    agents.report("a", v1="ready", v2="ready")
    assert offered(servings) == [1]
    servings.drop(second)
    assert [each.what for each in servings.assignment().servables] == [ONE]


async def test_a_version_is_not_loaded_again_before_agents_have_let_go_of_it(cluster):
    servings, (one, _), agents = cluster
    await agents.join("a")
    first = servings.add(one)
    agents.report("a", v1="ready")
    servings.drop(first)
    vacated = asyncio.create_task(servings.vacated(ONE))
    agents.report("a", v1="ready", v2="loading")
    await asyncio.sleep(0)
    assert not vacated.done()
    agents.report("a", v2="loading")
    await vacated
    again = servings.add(one)
    assert again.state is VersionState.LOADING


async def test_what_a_worker_starts_with_may_still_load_after_a_failure(cluster):
    servings, (one, _), agents = cluster
    await agents.join("a")
    first = servings.add(one, keeps_trying=True)
    agents.report("a", v1="failed")
    assert first.state is VersionState.FAILED
    assert not first.settled.is_set()
    agents.report("a", v1="ready")
    assert offered(servings) == [1]


async def test_a_retiring_version_is_not_offered_but_takes_what_is_on_its_way(cluster):
    servings, (one, two), agents = cluster
    await agents.join("a")
    first = servings.add(one)
    servings.add(two)
    agents.report("a", v1="ready", v2="ready")
    first.count(+1)
    end = asyncio.create_task(servings.retire(first))
    await asyncio.sleep(0)
    assert offered(servings) == [2]
    assert first.state is VersionState.RETIRING
    assert not first.closed
    await until(lambda: first.closed, what="the moment from which nothing more is taken")
    assert servings.find(ONE) is first
    assert ONE in [each.what for each in servings.assignment().servables]
    first.count(-1)
    await end
    assert servings.find(ONE) is None
    assert [each.what for each in servings.assignment().servables] == [TWO]
