"""What an agent's worker hears while a model takes long to load: a real agent, a registrar."""

import asyncio
import json
import os

from shared.membership import (
    REPORTS_PER_LEASE,
    Assigned,
    Assignment,
    Heartbeat,
    Holdings,
    ModelFiles,
)
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.wire.check import serves
from shared.wire.grpcio import GrpcioWire
from shared.wire.membership import Registrar
from tests.support.cluster import Cluster, until

SPEC = {"name": "x", "dtype": "float32", "dims": [-1, 2]}
TOY = {"function": "double", "inputs": [SPEC], "outputs": [SPEC]}


class Worker:
    """The part of a worker that an agent sees; remembers who came, went and held what."""

    def __init__(self, *paths):
        files = (ModelFiles("m.json", "reference", tuple(map(str, paths)), True, (), 4),)
        self._assignment = Assignment((Assigned(ServableVersion("toy", 1), files),))
        self.addresses = []
        self.holdings = []
        self.heartbeats = 0
        self.gone = []

    def joined(self, hello):
        self.addresses.append(hello.address)
        return self._assignment

    def reported(self, hello, report):
        if isinstance(report, Heartbeat):
            self.heartbeats += 1
        if isinstance(report, Holdings):
            self.holdings += [(each.state, each.detail) for each in report.holdings]

    def left(self, hello, reason):
        self.gone.append(reason)

    async def holds(self, state, detail):
        await until(
            lambda: (state, detail) in self.holdings,
            what=lambda: f"an agent that reports {state}, {detail!r}; it said {self.holdings}",
        )


async def test_an_agent_that_loads_for_long_says_so_and_stays_a_member(tmp_path):
    # Whoever opens this file for reading waits until somebody writes: a load as long as we like.
    model = tmp_path / "m.json"
    os.mkfifo(model)
    worker = Worker(model)
    registrar = Registrar(worker, lease_seconds=1.0)
    async with (
        GrpcioWire().serve(registrar.routes, ["127.0.0.1:0"]) as server,
        task_scope() as scope,
    ):
        scope.spawn(registrar.expel_silent(), name="expelling")
        async with Cluster(tmp_path) as cluster:
            cluster.start_agent("agent", server.addresses[0])
            await worker.holds("loading", "loading model 'm.json' (1 of 1)")
            (agent,) = worker.addresses
            # Each is a whole period after the one before: so many of them are two leases.
            enough = worker.heartbeats + 2 * REPORTS_PER_LEASE + 1
            await until(lambda: worker.heartbeats >= enough, what="heartbeats of two leases")
            assert await serves(agent, "")
            assert not await serves(agent, "toy")
            await asyncio.to_thread(model.write_text, json.dumps(TOY))
            await worker.holds("ready", "")
            assert await serves(agent, "toy")
            assert worker.gone == []
            assert worker.holdings[-1] == ("ready", "")
