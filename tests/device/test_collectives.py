"""Two ranks of real MindSpore that sum over each other: agents, a scheduler, device processes."""

import asyncio
import socket
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from services.agent.app import open_agent
from services.agent.settings import AgentSettings
from shared.errors import AgentLost, ExecutionFailed
from shared.membership import GangPart, ModelFiles
from tests.support.cluster import until
from tests.support.gangs import device_process, ended, gang_worker, processes

pytestmark = pytest.mark.mindspore

RANKS = 2
EXPORTER = Path(__file__).parents[2] / "examples/matmul_distributed/export_model/export_model.py"
FILES = ModelFiles("matmul", "mindir", (), False, (), 0)
X = [np.ones((128, 96), np.float32)]


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """The model file of each rank."""
    folder = tmp_path_factory.mktemp("slices")
    options = ("--ranks", str(RANKS), "--directory", str(folder))
    subprocess.run([sys.executable, str(EXPORTER), *options], check=True)
    return [folder / "model" / f"device{rank}" / "matmul.mindir" for rank in range(RANKS)]


@asynccontextmanager
async def ranks(slices, *, files=FILES, first=0, of=RANKS):
    """A worker that the ranks of one group have joined, from number ``first`` on."""
    async with gang_worker(files, of) as worker, AsyncExitStack() as agents:
        for rank, file in enumerate(slices, first):
            settings = AgentSettings(worker=worker.address, rank=rank, model_files=(file,))
            await agents.enter_async_context(open_agent(settings))
            await worker.joined_by(rank)
        yield worker


async def start(worker, epoch, *, first=0, of=RANKS):
    """Form the group as a worker does: its first rank runs the scheduler, the other hears where."""
    began = time.monotonic()
    await worker.tell(first, GangPart(epoch, first, of, 0, RANKS, "127.0.0.1:0"))
    scheduler = await worker.scheduler(first, epoch)
    await worker.tell(first + 1, GangPart(epoch, first + 1, of, 1, RANKS, scheduler))
    for rank in (first, first + 1):
        await worker.holds(rank, "ready", epoch)
    print(f"epoch {epoch}: ready after {time.monotonic() - began:.1f} s")
    return scheduler


async def sums(worker, epoch, first=0):
    """What both ranks say to the same batch."""
    calls = (worker.call(rank, epoch, X, rows=1) for rank in (first, first + 1))
    return await asyncio.gather(*calls)


async def test_a_rank_that_is_killed_is_told_at_once_and_the_next_epoch_computes(slices):
    async with ranks(slices) as worker:
        first = await start(worker, 1)
        for (output,) in await sums(worker, 1):
            assert output.shape == (128, 16)
            assert np.all(output == -48)

        survivor, lost = device_process(0), device_process(1)
        # Rank 0 waits in the collective for rank 1, which gets nothing to do.
        waiting = asyncio.create_task(worker.call(0, 1, X, rows=1))
        await until(lambda: worker.outstanding.get(0), what="a batch at rank 0")
        lost.kill()
        killed_at = time.monotonic()
        await worker.holds(1, "failed", 1, "the device process ended (SIGKILL)")
        print(f"told after {time.monotonic() - killed_at:.3f} s")
        assert time.monotonic() - killed_at < 1.0
        assert not waiting.done()

        (scheduler,) = processes("services.agent.collective")
        await worker.tell(1)
        await worker.tell(0)
        with pytest.raises(AgentLost, match=r"the device process of rank 0 ended \(SIGKILL\)"):
            await waiting
        for process in (survivor, scheduler):
            await ended(process, seconds=1.0)
        print(f"all ended after {time.monotonic() - killed_at:.3f} s")

        assert await start(worker, 2) != first
        for (output,) in await sums(worker, 2):
            assert np.all(output == -48)


async def test_a_stage_is_a_group_of_its_own_that_ends_with_its_scheduler(slices):
    async with ranks(slices, first=2, of=4) as worker:
        await start(worker, 1, first=2, of=4)
        for (output,) in await sums(worker, 1, first=2):
            assert np.all(output == -48)
        (scheduler,) = processes("services.agent.collective")
        rank = device_process(2)
        scheduler.kill()
        await worker.holds(2, "failed", 1, "MindSpore's scheduler ended (SIGKILL)")
        await ended(rank, seconds=1.0)


async def test_a_scheduler_whose_port_was_taken_gets_another(slices):
    async with ranks(slices) as worker:
        await worker.tell(0, worker.part(1, 0, "127.0.0.1:0"))
        await until(lambda: processes("services.agent.collective"), what="a scheduler process")
        (scheduler,) = processes("services.agent.collective")
        port = int(scheduler.environ()["MS_SCHED_PORT"])
        # It imports MindSpore for a second or two before it listens.
        with socket.create_server(("127.0.0.1", port)):
            told = await worker.scheduler(0, 1)
        assert told != f"127.0.0.1:{port}"
        assert {each.state for each in worker.holdings[0]} == {"loading"}
        await worker.tell(1, worker.part(1, 1, told))
        for rank in range(RANKS):
            await worker.holds(rank, "ready", 1)


async def test_a_rank_does_not_run_a_graph_that_failed_again_by_itself(mindir):
    files = ModelFiles("conv", "mindir", (), True, (), 8)
    too_small, image = ([np.ones((1, 3, size, size), np.float32)] for size in (2, 5))
    async with ranks([mindir / "conv_open.mindir"] * RANKS, files=files) as worker:
        await start(worker, 1)
        with pytest.raises(ExecutionFailed, match="model 'conv', 1 rows"):
            await worker.call(0, 1, too_small)
        # Compiled again, which others would have to take part in, it would answer.
        with pytest.raises(ExecutionFailed):
            await worker.call(0, 1, image)
        assert (await worker.call(1, 1, image))[0].shape == (1, 4, 3, 3)
