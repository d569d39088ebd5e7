"""An agent that joins a worker: assignment in, holdings and answers out."""

import asyncio
import json

import numpy as np
import pytest

from services.agent.app import open_agent
from services.agent.rpc import EXCHANGE_PATH
from services.agent.settings import AgentSettings
from shared.errors import LoadFailed, Unavailable
from shared.membership import Assigned, Assignment, Holdings, ModelFiles
from shared.servable import ServableVersion
from shared.wire.exchange import open_exchange
from shared.wire.grpcio import GrpcioWire
from shared.wire.membership import Registrar
from tests.support import lite
from tests.support.batches import outputs_of, work_of

SPEC = {"name": "x", "dtype": "float32", "dims": [-1, 2]}


class Worker:
    """The part of a worker that an agent sees."""

    def __init__(self, assignment):
        self.assignment = assignment
        self.ready = asyncio.Event()
        self.failed = asyncio.Event()

    def joined(self, hello):
        self.address = hello.address
        return self.assignment

    def reported(self, hello, report):
        if isinstance(report, Holdings) and any(h.state == "ready" for h in report.holdings):
            self.ready.set()
        if isinstance(report, Holdings) and any(h.state == "failed" for h in report.holdings):
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


@pytest.mark.parametrize("must", [True, False])
async def test_an_agent_ends_when_its_first_load_fails_only_if_told_to(tmp_path, must):
    files = ModelFiles("m.json", "reference", (str(tmp_path / "m.json"),), True, (), 4)
    worker = Worker(Assignment((Assigned(ServableVersion("toy", 1), (files,)),)))
    wire = GrpcioWire()

    async def serve():
        settings = AgentSettings(worker=server.addresses[0], first_load_must_succeed=must)
        async with open_agent(settings):
            await worker.failed.wait()
            if must:
                await asyncio.get_running_loop().create_future()

    async with (
        asyncio.timeout(60),
        wire.serve(Registrar(worker, 10.0).routes, ["127.0.0.1:0"]) as server,
    ):
        if not must:
            await serve()
            return
        with pytest.raises(
            LoadFailed,
            match="servable 'toy' version 1: model file 'm.json': No such file or directory",
        ):
            await serve()


async def test_an_agent_that_has_loaded_something_outlives_what_cannot_be_loaded(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"function": "double", "inputs": [SPEC], "outputs": [SPEC]}))
    good = ModelFiles("m.json", "reference", (str(path),), True, (), 4)
    bad = ModelFiles("n.json", "reference", (str(tmp_path / "n.json"),), True, (), 4)
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
        registrar.notify_all(Assignment((first, Assigned(ServableVersion("toy", 2), (bad,)))))
        await worker.failed.wait()
        async with (
            wire.connect(worker.address) as channel,
            open_exchange(channel, EXCHANGE_PATH, peer="agent", max_outstanding=4) as agent,
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
            open_exchange(channel, EXCHANGE_PATH, peer="agent", max_outstanding=4) as agent,
        ):
            assert (await call(agent, "toy"))[0].tolist() == [[2, 2]] * 3
