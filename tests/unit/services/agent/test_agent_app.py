"""An agent that joins a worker: assignment in, holdings and answers out."""

import asyncio
import json
import shutil

import numpy as np
import pytest

from services.agent.app import open_agent
from services.agent.rpc import EXCHANGE_PATH
from services.agent.settings import AgentSettings
from shared.errors import Unavailable
from shared.membership import Assigned, Assignment, Holdings, ModelFiles
from shared.servable import ServableVersion
from shared.wire.exchange import open_exchange
from shared.wire.grpcio import GrpcioWire
from shared.wire.membership import Registrar
from tests.support import lite
from tests.support.batches import outputs_of, work_of
from tests.support.cluster import Cluster, until

SPEC = {"name": "x", "dtype": "float32", "dims": [-1, 2]}


class Worker:
    """The part of a worker that an agent sees."""

    def __init__(self, assignment):
        self.assignment = assignment
        self.ready = asyncio.Event()
        self.failed = asyncio.Event()

    def joined(self, hello):
        self.address = hello.address
        self.member_id = hello.member_id
        return self.assignment

    def reported(self, hello, report):
        if not isinstance(report, Holdings):
            return
        self.ready_count = sum(h.state == "ready" for h in report.holdings)
        if self.ready_count:
            self.ready.set()
        if any(h.state == "failed" for h in report.holdings):
            self.failed.set()

    def left(self, hello, reason):
        pass


async def call(agent, servable):
    work = work_of(ServableVersion(servable, 1), "m.json", [np.ones((3, 2), np.float32)], 3)
    return outputs_of(await agent.call(work.request, head=work.head))


async def test_an_agent_loads_what_it_is_assigned_and_executes_batches(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"function": "double", "inputs": [SPEC], "outputs": [SPEC]}))
    files = ModelFiles("m.json", "reference", (str(path),), True, (), 4)
    worker = Worker(Assignment((Assigned(ServableVersion("toy", 1), (files,)),)))
    wire = GrpcioWire()
    async with (
        asyncio.timeout(60),
        wire.serve(Registrar(worker, 10.0).routes, ["127.0.0.1:0"]) as server,
        open_agent(AgentSettings(worker=server.addresses[0])),
    ):
        await worker.ready.wait()
        async with (
            wire.connect(worker.address) as channel,
            open_exchange(channel, EXCHANGE_PATH, peer="the agent", max_outstanding=4) as agent,
        ):
            (output,) = await call(agent, "toy")
            assert output.tolist() == [[2, 2]] * 3
            with pytest.raises(Unavailable, match="servable 'other' version 1 is not held"):
                await call(agent, "other")


async def test_an_agent_whose_first_load_must_succeed_ends_when_it_does_not(tmp_path):
    files = ModelFiles("m.json", "reference", (str(tmp_path / "m.json"),), True, (), 4)
    worker = Worker(Assignment((Assigned(ServableVersion("toy", 1), (files,)),)))
    async with (
        GrpcioWire().serve(Registrar(worker, 10.0).routes, ["127.0.0.1:0"]) as server,
        Cluster(tmp_path) as cluster,
    ):
        cluster.start_agent("agent", server.addresses[0], "--first-load-must-succeed")
        assert await asyncio.to_thread(cluster.processes["agent"].wait, 60) == 1
    said = (tmp_path / "agent.log").read_text().splitlines()[-1]
    assert said == (
        "agent: servable 'toy' version 1: model file 'm.json': No such file or directory"
    )


async def test_an_agent_that_has_loaded_something_tries_again_what_cannot_be_loaded(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"function": "double", "inputs": [SPEC], "outputs": [SPEC]}))
    good = ModelFiles("m.json", "reference", (str(path),), True, (), 4)
    late = ModelFiles("n.json", "reference", (str(tmp_path / "n.json"),), True, (), 4)
    first = Assigned(ServableVersion("toy", 1), (good,))
    worker = Worker(Assignment((first,)))
    wire = GrpcioWire()
    registrar = Registrar(worker, 10.0)
    async with (
        asyncio.timeout(60),
        wire.serve(registrar.routes, ["127.0.0.1:0"]) as server,
        open_agent(AgentSettings(worker=server.addresses[0], first_load_must_succeed=True)),
    ):
        await worker.ready.wait()
        second = Assigned(ServableVersion("toy", 2), (late,))
        registrar.notify(worker.member_id, Assignment((first, second)))
        await worker.failed.wait()
        shutil.copy(path, tmp_path / "n.json")
        await until(lambda: worker.ready_count == 2, what="both versions to be ready")
        async with (
            wire.connect(worker.address) as channel,
            open_exchange(channel, EXCHANGE_PATH, peer="the agent", max_outstanding=4) as agent,
        ):
            assert (await call(agent, "toy"))[0].tolist() == [[2, 2]] * 3


async def test_an_agent_told_so_runs_mindir_models_with_mindspore_lite(tmp_path, monkeypatch):
    lite.install(monkeypatch)
    path = tmp_path / "m.mindir"
    path.write_text(json.dumps({"function": "double", "inputs": [SPEC], "outputs": [SPEC]}))
    files = ModelFiles("m.json", "mindir", (str(path),), True, (), 4)
    worker = Worker(Assignment((Assigned(ServableVersion("toy", 1), (files,)),)))
    wire = GrpcioWire()
    async with (
        asyncio.timeout(60),
        wire.serve(Registrar(worker, 10.0).routes, ["127.0.0.1:0"]) as server,
        open_agent(AgentSettings(worker=server.addresses[0], enable_lite=True)),
    ):
        await worker.ready.wait()
        async with (
            wire.connect(worker.address) as channel,
            open_exchange(channel, EXCHANGE_PATH, peer="the agent", max_outstanding=4) as agent,
        ):
            assert (await call(agent, "toy"))[0].tolist() == [[2, 2]] * 3
