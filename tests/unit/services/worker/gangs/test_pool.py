"""Gangs over a real wire: who starts them, what they are sent, and what ends them."""

import asyncio
import contextlib
import resource

import numpy as np
import psutil
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from services.worker.gangs.formation import Formation
from services.worker.gangs.pool import GangPool
from services.worker.gangs.rules import GangRules, RankTable
from services.worker.metrics import Metrics
from shared.errors import AgentLost, DeviceHung, ExecutionFailed, InvalidRequest, Unavailable
from shared.membership import Assigned, Holding, Holdings, ModelFiles
from shared.rank_table import RankPlace
from shared.servable import Distribution, LanguageGraphs, ServableVersion
from shared.stage_graph import ModelCall
from shared.tasks import task_scope
from shared.tensors import ElementType, TensorSpec
from shared.wire.membership import Registrar
from shared.wire.native import NativeWire
from tests.support.cluster import until
from tests.support.ranks import ROW, Rank, model

WHAT = ServableVersion("matmul", 1)
CALL = ModelCall("matmul")
TWO_ROWS = [np.ones((2, 2), np.float32)]


class Town:
    """A pool with a registrar, and agents that come and go."""

    def __init__(
        self,
        distribution,
        *,
        rules=GangRules(),  # noqa: B008 (they are frozen)
        model_format="reference",
        language=None,
    ):
        self._distribution = distribution
        self._rules = rules
        self._files = ModelFiles("matmul", model_format, (), True, (), 8, language=language)
        self.unfit = []
        self.idle = asyncio.Event()
        self.ranks = []

    async def __aenter__(self):
        self._stack = contextlib.AsyncExitStack()
        self._wire = NativeWire()
        self._scope = await self._stack.enter_async_context(task_scope())
        self.formation = Formation(
            self._wire,
            self._scope,
            Metrics(CollectorRegistry()),
            Assigned(WHAT, (self._files,)),
            self._distribution,
            self._rules,
            notify=lambda *news: self.registrar.notify(*news),  # noqa: PLW0108 (it comes later)
            expel=lambda *news: self.registrar.expel(*news),  # noqa: PLW0108 (it comes later)
            changed=lambda: None,
            unfit=lambda failure: self.unfit.append(failure.message),
        )
        self.pool = GangPool(self.formation, self._distribution, idle=lambda what: self.idle.set())
        self.registrar = Registrar(self.formation, 10.0)
        server = await self._stack.enter_async_context(
            self._wire.serve(self.registrar.routes, ["127.0.0.1:0"])
        )
        self._address = server.addresses[0]
        return self

    async def __aexit__(self, *failure):
        for rank in self.ranks:
            rank.leave()
        await self._stack.aclose()

    def join(self, rank, signature=None, **named):
        """One more agent."""
        signature = signature or model("matmul")
        agent = Rank(self._wire, self._address, rank, signature, **named)
        self.ranks.append(agent)
        self._scope.spawn(agent.serve(), name=agent.name)
        return agent

    async def gang(self, **named):
        """An agent for every rank, all ready."""
        agents = [self.join(rank, **named) for rank in range(self._distribution.rank_size)]
        await self.until_serving()
        return agents

    async def until_serving(self, count=1):
        await until(lambda: len(self.pool) == count, what=f"{count} gangs")

    async def execute(self, columns=TWO_ROWS, rows=2):
        gang = self.pool.take_idle(WHAT)
        try:
            return await gang.execute(CALL, columns, rows)
        finally:
            gang.release()


async def test_every_rank_gets_the_inputs_and_one_returns_outputs():
    async with Town(Distribution(3)) as town:
        agents = await town.gang()
        agents[2].compute = lambda inputs: [inputs[0] * 5]
        (output,) = await town.execute()
        assert output.tolist() == [[5, 5], [5, 5]]
        for agent in agents:
            ((epoch, inputs, returns),) = agent.seen
            assert (epoch, inputs[0].tolist()) == (1, [[1, 1], [1, 1]])
            assert returns == (agent is agents[2])


async def test_the_number_of_the_subgraph_reaches_ranks_of_every_stage():
    for relay_stages in (True, False):
        async with Town(Distribution(4, 2, relay_stages=relay_stages)) as town:
            await town.gang(signature=model("matmul", subgraphs=3))
            gang = town.pool.take_idle(WHAT)
            await gang.execute(ModelCall("matmul", 2), TWO_ROWS, 2)
            gang.release()
            assert [agent.subgraphs for agent in town.ranks] == [[2]] * 4


async def test_a_gang_starts_when_its_last_rank_is_there_and_progress_names_those_that_are_not():
    async with Town(Distribution(3)) as town:
        town.join(0)
        town.join(2)
        await until(lambda: town.formation.ranks_there == 2, what="two ranks")
        assert town.formation.progress == "no agent yet for rank 1"
        last = town.join(1)
        last.state = "loading"
        await last.until_told(bool, "a part")
        await until(
            lambda: town.formation.progress == "epoch 1 starts, not ready yet: rank 1",
            what="the others to be ready",
        )
        last.say("ready")
        await town.until_serving()


async def test_a_lost_rank_fails_the_batch_at_once_and_the_gang_comes_back_with_a_later_epoch():
    async with Town(Distribution(2)) as town:
        agents = await town.gang()
        begun = asyncio.Event()

        async def never():
            begun.set()
            await asyncio.Event().wait()

        for agent in agents:
            agent.compute = lambda inputs: never()
        batch = asyncio.create_task(town.execute())
        await begun.wait()
        agents[1].leave()
        with pytest.raises(AgentLost, match="rank 1"):
            await batch
        assert len(town.pool) == 0
        await agents[0].until_told(lambda part: part is None, "to end its part")
        town.join(1)
        agents[0].compute = lambda inputs: inputs
        await agents[0].until_told(lambda part: part is not None and part.epoch == 2, "epoch 2")
        await town.until_serving()
        assert (await town.execute())[0].tolist() == [[1, 1], [1, 1]]


async def test_all_batches_in_the_hands_of_a_gang_fail_when_one_does():
    async with Town(Distribution(2, 2, enable_pipeline_infer=True)) as town:
        first, second = await town.gang()
        waits = asyncio.Event()
        fails = asyncio.Event()

        async def hold(inputs):
            waits.set()
            await fails.wait()
            raise ExecutionFailed("the collective broke")

        second.compute = hold
        batches = [asyncio.create_task(town.execute()) for _ in range(2)]
        await waits.wait()
        await until(lambda: len(first.seen) == 2, what="both batches at the first stage")
        fails.set()
        failures = await asyncio.gather(*batches, return_exceptions=True)
        assert all("rank 1: the collective broke" in str(failure) for failure in failures)
        assert {type(failure) for failure in failures} <= {ExecutionFailed, AgentLost}
        assert len(town.pool) == 0


async def test_a_gang_that_takes_too_long_is_ended_and_the_late_ranks_are_named():
    async with Town(Distribution(2), rules=GangRules(call_seconds=0.3)) as town:
        agents = await town.gang()

        async def never():
            await asyncio.Event().wait()

        agents[1].compute = lambda inputs: never()
        with pytest.raises(DeviceHung, match=r"rank 1 did not answer within 0\.3 s"):
            await town.execute()
        await agents[0].until_told(lambda part: part is None or part.epoch == 2, "the end")


async def test_a_batch_that_all_ranks_refuse_is_refused_and_the_gang_goes_on():
    async with Town(Distribution(2)) as town:
        for agent in await town.gang():
            agent.compute = lambda inputs: InvalidRequest("expected 3 columns")
        with pytest.raises(InvalidRequest, match="expected 3 columns"):
            await town.execute()
        for agent in town.ranks:
            agent.compute = lambda inputs: inputs
        assert (await town.execute())[0].tolist() == [[1, 1], [1, 1]]
        assert town.ranks[0].seen[-1][0] == 1


async def test_a_gang_that_refused_a_batch_rests_before_it_gets_the_next_one():
    async with Town(Distribution(2)) as town:
        for agent in await town.gang():
            agent.compute = lambda inputs: Unavailable("not now")
        taken = town.pool.take_idle(WHAT)
        with pytest.raises(Unavailable):
            await taken.execute(CALL, TWO_ROWS, 2)
        town.idle.clear()
        taken.release()
        assert town.pool.take_idle(WHAT) is None
        async with asyncio.timeout(10):
            await town.idle.wait()
        assert town.pool.take_idle(WHAT) is not None


LARGE_ROWS = [np.ones((2, 1 << 18), np.float32)]
LARGE_ROW = TensorSpec("x", ElementType.FLOAT32, (-1, 1 << 18))
LARGE = model("matmul", inputs=(LARGE_ROW,), outputs=(LARGE_ROW,))


async def test_ranks_that_cannot_reach_memory_of_their_host_get_tensors_in_messages():
    async with Town(Distribution(2)) as town:
        await town.gang(signature=LARGE, local=True)
        for said in (["this rank maps no memory"], []):
            with capture_logs() as logged:
                (output,) = await town.execute(LARGE_ROWS)
            assert (output == 1).all()
            assert not_shared(logged) == said


def not_shared(logged):
    return [each["reason"] for each in logged if "inside messages" in each["event"]]


@pytest.mark.parametrize("megabytes", [0.5, 1])
async def test_tensors_that_shared_memory_has_no_room_for_travel_inside_messages(megabytes):
    """With 1 MB there is room for a region, but not for what it should hold."""
    async with Town(Distribution(2)) as town:
        await town.gang(signature=LARGE, local=True)
        files = psutil.Process().num_fds()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(megabytes * 2**20), hard))
        try:
            with capture_logs() as logged:
                (output,) = await town.execute(LARGE_ROWS)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (output == 1).all()
        assert not_shared(logged) == ["no shared memory to be had: File too large"]
        assert psutil.Process().num_fds() == files


async def test_a_rank_whose_link_broke_is_told_that_its_part_is_over():
    async with Town(Distribution(2)) as town:
        agent = (await town.gang())[1]
        agent.break_link()
        await agent.until_told(lambda part: part is not None and part.epoch == 2, "epoch 2")
        assert agent.epochs == [0, 1, 0, 2]


async def test_agents_of_a_version_that_is_unloaded_hear_it_and_look_for_another_one():
    async with Town(Distribution(2)) as town:
        agents = await town.gang()
        with capture_logs() as logged:
            town.formation.close()
            for agent in agents:
                await until(lambda agent=agent: len(agent.epochs) > 3, what="it to join again")
                assert agent.epochs[:4] == [0, 1, 0, 0]
        said = [each["reason"] for each in logged if each["event"] == "not joined"]
        assert said == [f"{WHAT} is unloaded"] * 2


async def test_a_batch_that_one_rank_alone_refuses_ends_the_gang():
    async with Town(Distribution(2)) as town:
        agents = await town.gang()
        agents[0].compute = lambda inputs: Unavailable("epoch 7 is over")
        with pytest.raises(AgentLost, match=r"rank 0 refused what others run: epoch 7 is over"):
            await town.execute()
        assert len(town.pool) == 0


async def test_what_is_said_of_another_epoch_means_nothing():
    async with Town(Distribution(2)) as town:
        hello = (await town.gang())[0].hello
        now = Holding(WHAT, "ready", epoch=1)
        for epoch in (0, 2, 9):
            stale = Holding(WHAT, "failed", "old news", epoch=epoch)
            town.formation.reported(hello, Holdings((now, stale)))
        assert len(town.pool) == 1
        town.formation.reported(hello, Holdings((Holding(WHAT, "failed", "news", epoch=1),)))
        assert len(town.pool) == 0


async def test_stages_are_fed_with_what_the_one_before_them_gave():
    async with Town(Distribution(4, 2)) as town:
        agents = await town.gang()
        for agent, factor in zip(agents, (2, 2, 10, 10), strict=True):
            agent.compute = lambda inputs, factor=factor: [inputs[0] * factor]
        assert (await town.execute())[0].tolist() == [[20, 20], [20, 20]]
        assert [agent.seen[0][1][0].tolist()[0] for agent in agents] == [[1, 1]] * 2 + [[2, 2]] * 2
        assert [agent.seen[0][2] for agent in agents] == [False, True, False, True]


async def test_pipelined_stages_work_on_several_batches_at_once():
    async with Town(Distribution(2, 2, enable_pipeline_infer=True)) as town:
        first, second = await town.gang()
        at_second, at_first = asyncio.Event(), asyncio.Event()

        async def slow(inputs):
            # Done only when the first stage is at work on another batch.
            await at_first.wait()
            return inputs

        async def quick(inputs):
            if at_second.is_set():
                at_first.set()
            return inputs

        first.compute, second.compute = quick, slow
        one = asyncio.create_task(town.execute())
        await until(lambda: second.seen, what="the first batch at the second stage")
        at_second.set()
        two = asyncio.create_task(town.execute())
        for batch in (one, two):
            assert (await batch)[0].tolist() == [[1, 1], [1, 1]]


async def test_without_pipelining_a_gang_takes_one_batch():
    async with Town(Distribution(2, 2)) as town:
        await town.gang()
        taken = town.pool.take_idle(WHAT)
        assert town.pool.take_idle(WHAT) is None
        taken.release()
        assert town.pool.take_idle(WHAT) is not None


async def test_more_agents_form_more_gangs_and_each_takes_batches():
    async with Town(Distribution(2)) as town:
        await town.gang()
        for rank in range(2):
            town.join(rank)
        await town.until_serving(2)
        first, second = town.pool.take_idle(WHAT), town.pool.take_idle(WHAT)
        assert town.pool.take_idle(WHAT) is None
        await asyncio.gather(first.execute(CALL, TWO_ROWS, 2), second.execute(CALL, TWO_ROWS, 2))
        assert [len(agent.seen) for agent in town.ranks] == [1, 1, 1, 1]


async def test_the_leader_says_where_ranks_meet_before_the_others_are_told_their_parts():
    async with Town(Distribution(3), model_format="mindir") as town:
        agents = [town.join(rank) for rank in range(3)]
        agents[0].state = "loading"
        await agents[0].until_told(bool, "a part")
        host = agents[0].part.scheduler.rpartition(":")[0]
        assert agents[0].part.scheduler == f"{host}:0"
        assert agents[1].part is agents[2].part is None
        agents[0].say("loading", scheduler=f"{host}:4711")
        for agent in agents[1:]:
            await agent.until_told(bool, "a part")
            assert agent.part.scheduler == f"{host}:4711"
        agents[0].say("ready", scheduler=f"{host}:4711")
        await town.until_serving()


async def test_ranks_that_do_not_fit_together_never_serve():
    other = model("matmul", outputs=(TensorSpec("y", ElementType.FLOAT32, (-1, 3)),))
    async with Town(Distribution(2)) as town:
        town.join(0)
        town.join(1, other)
        await until(lambda: town.unfit, what="the refusal")
        assert "outputs of subgraph 0 differ: rank 1" in town.unfit[0]
        assert len(town.pool) == 0
        assert "outputs of subgraph 0 differ" in town.formation.progress


async def test_a_rank_that_cannot_load_says_why():
    async with Town(Distribution(2)) as town:
        town.join(0)
        town.join(1).state = "failed"
        town.ranks[1].detail = "Cannot access model file 'm.mindir'"
        await until(lambda: town.unfit, what="the failure")
        assert "rank 1: Cannot access model file 'm.mindir'" in town.unfit[0]


async def test_a_rank_that_there_is_not_is_not_let_in():
    async with Town(Distribution(2)) as town:
        stranger = town.join(2)
        await until(lambda: hasattr(stranger, "membership"), what="the agent")
        await town.gang()
        assert town.formation.ranks_there == 2
        with pytest.raises(InvalidRequest, match="Invalid rank id 2, rank size 2"):
            town.formation.joined(stranger.hello)


async def test_an_agent_that_drains_lets_its_gang_finish_and_take_nothing_more():
    async with Town(Distribution(2)) as town:
        agents = await town.gang()
        finish = asyncio.Event()

        async def hold(inputs):
            await finish.wait()
            return inputs

        agents[1].compute = hold
        batch = asyncio.create_task(town.execute())
        await until(lambda: agents[1].seen, what="the batch")
        agents[0].drain()
        await town.until_serving(0)
        finish.set()
        assert (await batch)[0].tolist() == [[1, 1], [1, 1]]
        await until(lambda: "shutting down" in town.formation.progress, what="the end")


async def test_outputs_of_all_ranks_are_compared_when_that_is_wished():
    async with Town(Distribution(2), rules=GangRules(compare=True)) as town:
        agents = await town.gang()
        agents[0].compute = agents[1].compute = lambda inputs: [inputs[0] * np.nan]
        assert np.isnan((await town.execute())[0]).all()
        agents[0].compute = lambda inputs: [inputs[0] * 1.5]
        with pytest.raises(ExecutionFailed, match="rank 0 returned something else than rank 1"):
            await town.execute()


async def test_devices_of_ascend_must_be_where_the_table_says_that_they_can_be():
    places = tuple(RankPlace(rank, "10.0.0.1", 8 + rank) for rank in range(2))
    rules = GangRules(table=RankTable("{}", places, "table.json"))
    async with Town(Distribution(2), rules=rules) as town:
        for rank in range(2):
            town.join(rank, device="Ascend")
        await until(lambda: town.unfit, what="the refusal")
        assert "device id cannot be larger than 7" in town.unfit[0]


async def test_devices_of_one_gang_are_of_one_type():
    async with Town(Distribution(2)) as town:
        town.join(0)
        town.join(1, device="GPU")
        await until(lambda: town.unfit, what="the refusal")
        assert "devices of several types: CPU, GPU" in town.unfit[0]


async def test_a_row_of_inputs_goes_to_ranks_that_take_none_as_nothing():
    silent = model("matmul", inputs=())
    async with Town(Distribution(2, 2, relay_stages=False)) as town:
        town.join(0, model("matmul", outputs=()))
        last = town.join(1, silent)
        last.compute = lambda inputs: [np.full((2, 2), 7, np.float32)]
        await town.until_serving()
        assert town.pool.signatures(WHAT)["matmul"].subgraphs[0].inputs == (ROW,)
        assert (await town.execute())[0].tolist() == [[7, 7], [7, 7]]
        assert last.seen[0][1] == []


async def test_ranks_of_a_language_model_that_come_with_other_graphs_are_not_taken():
    """Texts that wait go by the graphs that there were."""
    async with Town(Distribution(2), language=LanguageGraphs(1, 1)) as town:
        first, second = await town.gang()
        assert list(town.pool.step_lines(WHAT)) == ["1"]
        assert town.pool.device_type == "CPU"
        wider = TensorSpec("x", ElementType.FLOAT32, (-1, 3))
        for agent in (first, second):
            agent.signature = model("matmul", inputs=(wider,), outputs=(wider,))
        first.say("failed", "killed")
        await town.until_serving(0)
        first.state = "ready"
        await until(
            lambda: "its graphs are not those of the gang before" in town.formation.progress,
            what="the second gang to be refused",
        )
        assert not town.pool.step_lines(WHAT)
        for agent in (first, second):
            agent.signature = model("matmul")
        await town.until_serving()
        (epoch,) = town.pool.step_lines(WHAT)
        assert int(epoch) > 2
