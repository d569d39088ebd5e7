"""What an agent's worker hears while a model takes long to load: a real agent, a registrar."""

import asyncio
import json
import os

from shared.membership import Assigned, Assignment, Hello, Holdings, ModelFiles
from shared.servable import ServableVersion
from shared.tasks import task_scope
from shared.wire.check import serves
from shared.wire.grpcio import GrpcioWire
from shared.wire.membership import JOIN_PATH, Registrar
from shared.wire.membership_codec import write_report
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
        self.gone = []

    def joined(self, hello):
        self.addresses.append(hello.address)
        return self._assignment

    def reported(self, hello, report):
        assert isinstance(report, Holdings)
        self.holdings += [(each.state, each.detail) for each in report.holdings]

    def left(self, hello, reason):
        self.gone.append((hello.member_id, reason))

    async def holds(self, state, detail):
        await until(
            lambda: (state, detail) in self.holdings,
            what=lambda: f"an agent that reports {state}, {detail!r}; it said {self.holdings}",
        )


async def lease_passes(worker, address, name):
    """A silent member joins now and is expelled: whoever said nothing since then is gone too."""
    async with GrpcioWire().connect(address) as channel, channel.stream(JOIN_PATH) as stream:
        await stream.send(write_report(Hello(name, "127.0.0.1:1")))
        silent = (name, "was silent for a whole lease")
        await until(lambda: silent in worker.gone, what=f"the end of the lease of {name}")


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
            for name in ("one", "another"):
                await lease_passes(worker, server.addresses[0], name)
                assert await serves(agent, "")
                assert not await serves(agent, "toy")
            await asyncio.to_thread(model.write_text, json.dumps(TOY))
            await worker.holds("ready", "")
            assert await serves(agent, "toy")
            assert [name for name, _ in worker.gone] == ["one", "another"]
            assert worker.holdings[-1] == ("ready", "")
