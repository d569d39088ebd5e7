"""What MindSpore Lite's backend does with several graphs and several ranks, in device processes.

They run on the stand-in: ranks of it really wait for one another and add up their parts.
"""

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager

import numpy as np
import psutil
import pytest

from services.agent.device.holder import Holder
from shared.errors import LoadFailed
from shared.membership import Assigned, Assignment, Device, ModelFiles
from shared.servable import DeviceOptions, ModelOptions
from shared.tasks import task_scope
from tests.support import lite
from tests.support.cluster import until
from tests.support.devices import LIMITS, WHAT, HeldModels, loader

ASCEND = Device("Ascend", 0)
X = {"name": "x", "dtype": "float32", "dims": [128, 96]}
Y = {"name": "y", "dtype": "float32", "dims": [128, 16]}


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    lite.install(monkeypatch)


def write_matmul(folder, rank):
    """One of two files of a model; each rank has half of the rows of its weight of 0.5."""
    path = folder / f"Matmul{rank}.mindir"
    return write(path, "matmul", outputs=[Y], weight=0.5, ranks=2, meeting=str(folder))


def write(path, function, **more):
    path.write_text(json.dumps({"function": function, "inputs": [X], "outputs": [X], **more}))
    return str(path)


def ascend(**values):
    return ModelOptions(devices=(DeviceOptions("ascend", tuple(values.items())),))


def model(key, *paths, options):
    return ModelFiles(key, "mindir_lite", paths, False, (), 8, options)


@asynccontextmanager
async def holding(*models, device=ASCEND):
    """A device process that is told to load ``models``; they may not be ready yet."""
    begun = device_processes()
    async with task_scope() as scope:
        holder = Holder(scope, device, LIMITS, lambda: None, {})
        holder.assign(Assignment((Assigned(WHAT, models),)))
        await until(lambda: device_processes() - begun, what="a device process to start")
        yield HeldModels(holder)


def device_processes():
    """By id: those that have the environment of the moment at which they began."""
    return {
        child.pid
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "services.agent.device" in child.cmdline()
    }


def ranks_by_start_script(folder, number):
    table = folder / "rank_table.json"
    table.write_text("{}")
    return {"RANK_ID": str(number), "DEVICE_ID": str(number), "RANK_TABLE_FILE": str(table)}


def ranks_by_mpirun(folder, number):
    return {
        "OMPI_COMM_WORLD_RANK": str(number),
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_RANK": str(number),
    }


@pytest.mark.parametrize(
    ("kind", "environment_of"), [("Ascend", ranks_by_start_script), ("GPU", ranks_by_mpirun)]
)
async def test_two_ranks_answer_one_call_together(tmp_path, monkeypatch, kind, environment_of):
    """Each holds half of the weight of 0.5, gets all of the ones, and answers the whole sum."""
    async with AsyncExitStack() as stack:
        ranks = []
        for number in range(2):
            path = write_matmul(tmp_path, number)
            files = model("Matmul.mindir", path, options=ModelOptions())
            with monkeypatch.context() as environment:
                for name, value in environment_of(tmp_path, number).items():
                    environment.setenv(name, value)
                device = Device(kind, number)
                ranks.append(await stack.enter_async_context(holding(files, device=device)))
        # The warm-up of each waits for the other.
        await asyncio.gather(*(each.settled() for each in ranks))
        ones = np.ones((128, 96), np.float32)
        for times in (1, 2):
            answers = await asyncio.gather(
                *(each.run("Matmul.mindir", ones * times, rows=1) for each in ranks)
            )
            for (answer,) in answers:
                assert np.array_equal(answer, np.full((128, 16), 48 * times, np.float32))


async def test_ascends_without_a_rank_table_fail_the_model(tmp_path, monkeypatch):
    path = write_matmul(tmp_path, 0)
    monkeypatch.setenv("RANK_ID", "0")
    async with loader() as loading:
        with pytest.raises(LoadFailed, match=r"model file 'Matmul0.mindir': build_from_file fail"):
            await loading.load(model("m", path, options=ModelOptions()), device=ASCEND)


async def test_a_rank_that_makes_no_sense_fails_the_model(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mindir", "double")
    monkeypatch.setenv("RANK_ID", "first")
    async with loader() as loading:
        with pytest.raises(LoadFailed, match="RANK_ID should be a whole number from 0 on, but is"):
            await loading.load(model("m", path, options=ModelOptions()), device=ASCEND)


@pytest.mark.parametrize(("groups", "shared"), [(("gpt", "gpt"), True), (("gpt", "bert"), False)])
async def test_models_that_name_one_group_share_their_weights(tmp_path, groups, shared):
    """The weight is one that its models change, so that it shows whose it is."""
    paths = [write(tmp_path / f"{name}.mindir", "accumulate") for name in ("full", "next", "other")]
    models = [
        model("gpt", *paths[:2], options=ascend(provider="ge", weight_group=groups[0])),
        model("other", paths[2], options=ascend(provider="ge", weight_group=groups[1])),
    ]
    ones = np.ones((128, 96), np.float32)
    async with holding(*models) as held:
        await held.settled()
        found = [
            (await held.run("gpt", ones, subgraph=0, rows=1))[0][0, 0],
            (await held.run("gpt", ones, subgraph=1, rows=1))[0][0, 0],
            (await held.run("other", ones, rows=1))[0][0, 0],
        ]
    assert found == ([1, 2, 3] if shared else [1, 2, 1])


async def test_models_that_name_no_group_share_nothing(tmp_path):
    paths = [write(tmp_path / f"{name}.mindir", "accumulate") for name in ("full", "next")]
    ones = np.ones((128, 96), np.float32)
    async with holding(model("gpt", *paths, options=ascend(provider="ge"))) as held:
        await held.settled()
        for subgraph in (0, 1):
            assert (await held.run("gpt", ones, subgraph=subgraph, rows=1))[0][0, 0] == 1


async def test_a_group_without_the_engine_that_can_share_is_an_error(tmp_path):
    path = write(tmp_path / "a.mindir", "double")
    files = model("m", path, options=ascend(weight_group="gpt"))
    async with loader() as loading:
        with pytest.raises(
            LoadFailed, match="model 'm': Ascend option 'weight_group' needs the option provider"
        ):
            await loading.load(files, device=ASCEND)
        assert await loading.load(files) == []
