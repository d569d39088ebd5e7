"""A supervisor with real device processes of the reference backend."""

import asyncio
import json
import os
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from services.agent.device.supervisor import Limits, Supervisor
from shared.arena import Arena, Placed
from shared.errors import (
    AgentLost,
    DeviceHung,
    ExecutionFailed,
    InvalidRequest,
    MemoryNotShared,
    Unavailable,
)
from shared.membership import Assigned, Device, ModelFiles
from shared.regions import Region
from shared.servable import ServableVersion
from tests.support.batches import outputs_of, placed_of, shared_work, work_of
from tests.support.cluster import until

WHAT = ServableVersion("toy", 1)


@asynccontextmanager
async def running(tmp_path, *, dims=(-1, 2), hang_seconds=20.0, latency_seconds=0.0):
    spec = {"dtype": "float32", "dims": list(dims)}
    faults = {"-1": "raise", "-2": "kill", "-3": "hang", "-4": "exit"}
    (tmp_path / "m.json").write_text(
        json.dumps(
            {
                "function": "double",
                "inputs": [{"name": "x", **spec}],
                "outputs": [{"name": "y", **spec}],
                "faults": faults,
                "latency_seconds": latency_seconds,
            }
        )
    )
    files = ModelFiles("m.json", "reference", (str(tmp_path / "m.json"),), True, (), 4)
    news = asyncio.Event()
    supervisor = Supervisor(
        Assigned(WHAT, (files,)),
        Device("CPU", 0),
        Limits(hang_seconds, 60.0, "AVX2"),
        news.set,
    )
    task = asyncio.create_task(supervisor.run())

    async def ready():
        async with asyncio.timeout(60):
            while supervisor.holding.state != "ready":
                news.clear()
                await news.wait()

    try:
        await ready()
        yield supervisor, ready
    finally:
        task.cancel()
        await asyncio.wait([task])


def rows(*values):
    return np.repeat(np.asarray(values, np.float32)[:, None], 2, axis=1)


async def run(supervisor, *inputs):
    done = await supervisor.execute(work_of(WHAT, "m.json", inputs, len(inputs[0])))
    return outputs_of(done.reply)[0]


@pytest.mark.parametrize("dims", [(-1, 2), (4, 2)])
async def test_batches_of_any_size_are_padded_and_cut(tmp_path, dims):
    async with running(tmp_path, dims=dims) as (supervisor, _):
        for count in (1, 3, 4, 9):
            batch = rows(*range(1, count + 1))
            assert np.array_equal(await run(supervisor, batch), batch * 2)


async def test_wrong_inputs_are_named_and_harm_nobody(tmp_path):
    async with running(tmp_path) as (supervisor, _):
        with pytest.raises(InvalidRequest, match=r"expected float32\[2\], got int32\[2\]"):
            await run(supervisor, rows(1).astype(np.int32))
        with pytest.raises(InvalidRequest, match="expected 1 inputs, got 2"):
            await run(supervisor, rows(1), rows(1))
        with pytest.raises(ExecutionFailed, match="fault on demand"):
            await run(supervisor, rows(-1))
        assert np.array_equal(await run(supervisor, rows(1)), rows(2))


@pytest.mark.parametrize(("value", "cause"), [(-2, "SIGKILL"), (-4, "exit code 3")])
async def test_a_dead_device_process_is_named_and_replaced(tmp_path, value, cause):
    async with running(tmp_path) as (supervisor, ready):
        with pytest.raises(AgentLost, match=rf"{cause}.*toy.*m.json.*1 rows"):
            await run(supervisor, rows(value))
        await ready()

        async def answers():
            with suppress(AgentLost, Unavailable):
                assert np.array_equal(await run(supervisor, rows(1)), rows(2))
                return True

        await until(answers, what="the process that replaces it")


async def test_a_hung_device_process_is_ended(tmp_path):
    async with running(tmp_path, hang_seconds=0.5) as (supervisor, _):
        with pytest.raises(DeviceHung, match=r"0.5 s: servable 'toy'"):
            await run(supervisor, rows(-3))


async def test_a_batch_whose_caller_left_before_it_began_never_runs(tmp_path):
    # One row ends the process: that it lives on shows that the row did not run.
    async with running(tmp_path, latency_seconds=0.2) as (supervisor, _):
        first = asyncio.create_task(run(supervisor, rows(1)))
        await asyncio.sleep(0)
        unwanted = asyncio.create_task(run(supervisor, rows(-2)))
        await asyncio.sleep(0)
        last = asyncio.create_task(run(supervisor, rows(3)))
        await asyncio.sleep(0)
        unwanted.cancel()
        assert np.array_equal(await first, rows(2))
        assert np.array_equal(await last, rows(6))
        assert unwanted.cancelled()


NONCE = b"0123456789abcdef"


@pytest.fixture
def arena():
    made = Arena.create()
    made.write([np.frombuffer(NONCE, np.uint8)])
    yield made
    made.close()


def shared(arena, batch, *, nonce=NONCE, fd=None, pid=None):
    (placed,), end = arena.write([batch], 64)
    region = Region(os.getpid() if pid is None else pid, arena.fd if fd is None else fd, nonce)
    return shared_work(WHAT, "m.json", len(batch), region, placed, end)


async def test_tensors_in_shared_memory_are_read_and_written_in_place(tmp_path, arena):
    async with running(tmp_path) as (supervisor, _):
        for count in (2, 100_000, 3):
            batch = rows(*range(count))
            done = await supervisor.execute(shared(arena, batch))
            (placed,) = placed_of(done.reply)
            assert np.array_equal(arena.read([placed])[0], batch * 2)


async def test_memory_that_is_not_the_workers_is_refused_and_the_process_lives_on(tmp_path, arena):
    async with running(tmp_path) as (supervisor, _):
        with (tmp_path / "other").open("wb+") as other:
            other.write(b"x" * 100)
            other.flush()
            for wrong in (
                {"fd": other.fileno()},
                {"fd": 99_999},
                {"pid": 2**31 - 1},
                {"nonce": b"short"},
                {"nonce": b"f" * 16},
            ):
                with pytest.raises(MemoryNotShared, match="the owner's memory"):
                    await supervisor.execute(shared(arena, rows(1), **wrong))
        assert placed_of((await supervisor.execute(shared(arena, rows(1)))).reply)


@pytest.mark.parametrize(
    "place",
    [Placed(1 << 40, "float32", (1, 2)), Placed(64, "float32", (-1, 2))],
)
async def test_places_outside_the_memory_are_refused(tmp_path, arena, place):
    async with running(tmp_path) as (supervisor, _):
        region = Region(os.getpid(), arena.fd, NONCE)
        work = shared_work(WHAT, "m.json", 1, region, place, 1 << 41)
        with pytest.raises(InvalidRequest, match=r"model 'm.json'"):
            await supervisor.execute(work)
        assert np.array_equal(await run(supervisor, rows(1)), rows(2))
