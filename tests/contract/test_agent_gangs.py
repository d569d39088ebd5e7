"""An agent that runs one rank, through the epochs of its gang: real device processes, toys."""

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from services.agent.app import open_agent
from services.agent.settings import AgentSettings
from shared.errors import AgentLost, DeviceHung, Unavailable
from shared.membership import ModelFiles
from tests.support.cluster import Cluster, until
from tests.support.gangs import device_process, ended, gang_worker, processes, stop

FILES = ModelFiles("toy", "reference", (), True, (), 4)
SPEC = {"name": "x", "dtype": "float32", "dims": [-1, 2]}
TOY = {"function": "double", "inputs": [SPEC], "outputs": [SPEC], "faults": {"-2": "kill"}}
ROWS = [np.ones((3, 2), np.float32)]


def toy(folder, **changes):
    # A comma and a space, as paths may have them.
    path = folder / "slice 1,0.json"
    path.write_text(json.dumps(TOY | changes))
    return path


@asynccontextmanager
async def rank(path, **settings):
    """A worker with the agent of rank 1 of 2."""
    async with gang_worker(FILES, 2) as worker:
        told = {"rank": 1, "model_files": (path,)} | settings
        async with open_agent(AgentSettings(worker=worker.address, **told)):
            yield worker


async def test_a_rank_loads_its_own_files_and_runs_batches_of_its_epoch_alone(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        hello = await worker.joined_by(1)
        assert (hello.rank, hello.epoch) == (1, 0)
        await worker.tell(1, worker.part(4, 1))
        (signature,) = (await worker.holds(1, "ready", 4)).models
        assert signature.key == "toy"
        assert (await worker.call(1, 4, ROWS))[0].tolist() == [[2, 2]] * 3
        for epoch, reason in (
            (3, "epoch 3 is over, rank 1 is at epoch 4"),
            (0, "a batch without an epoch, but this is rank 1 at epoch 4"),
            (5, "epoch 5 has not begun, rank 1 is at epoch 4"),
        ):
            with pytest.raises(Unavailable, match=reason):
                await worker.call(1, epoch, ROWS)


async def test_who_joins_again_says_which_epoch_it_heard_of(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(7, 1))
        await worker.holds(1, "ready", 7)
        worker.expel(1)
        assert (await worker.joined_by(1, 2)).epoch == 7


@pytest.mark.parametrize("stopped", [False, True])
async def test_a_later_epoch_replaces_an_earlier_one_at_once(tmp_path, stopped):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        first = device_process(1)
        if stopped:
            stop(first)
        await worker.tell(1, worker.part(2, 1))
        await ended(first, seconds=1.0)
        await worker.holds(1, "ready", 2)
        assert device_process(1).pid != first.pid
        assert (await worker.call(1, 2, ROWS))[0].tolist() == [[2, 2]] * 3
        with pytest.raises(Unavailable, match="epoch 1 is over, rank 1 is at epoch 2"):
            await worker.call(1, 1, ROWS)


async def test_an_earlier_epoch_is_refused_and_disturbs_nothing(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(5, 1))
        await worker.holds(1, "ready", 5)
        process = device_process(1)
        await worker.tell(1, worker.part(4, 1))
        await worker.holds(1, "failed", 4, "epoch 4 is over, rank 1 was at epoch 5")
        assert (await worker.call(1, 5, ROWS))[0].tolist() == [[2, 2]] * 3
        assert device_process(1).pid == process.pid


async def test_an_epoch_that_ended_does_not_begin_again(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(5, 1))
        await worker.holds(1, "ready", 5)
        process = device_process(1)
        await worker.tell(1)
        await ended(process)
        await worker.tell(1, worker.part(5, 1))
        await worker.holds(1, "failed", 5, "epoch 5 is over")
        assert not processes("services.agent.device", RANK_ID=1)


@pytest.mark.parametrize(
    ("settings", "joins_as", "reason"),
    [
        ({}, 1, "this agent runs rank 1, and was assigned rank 0"),
        (
            {"rank": None, "model_files": ()},
            None,
            "this agent was started without a rank, and was assigned rank 0",
        ),
    ],
)
async def test_an_agent_takes_no_other_rank_than_its_own(tmp_path, settings, joins_as, reason):
    async with rank(toy(tmp_path), **settings) as worker:
        await worker.tell(joins_as, worker.part(1, 0))
        await worker.holds(joins_as, "failed", 1, reason)


async def test_a_device_process_that_dies_fails_its_epoch_once(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        with pytest.raises(AgentLost, match=r"process of rank 1 ended \(SIGKILL\).*toy"):
            await worker.call(1, 1, [np.full((1, 2), -2, np.float32)])
        await worker.holds(1, "failed", 1, "the device process ended (SIGKILL)")
        # A supervisor that tries again does so after a tenth of a second; heartbeats are a
        # fifth of a second apart.
        await worker.heard(4)
        assert worker.holdings[1][-1].state == "failed"
        assert not processes("services.agent.device", RANK_ID=1)
        with pytest.raises(Unavailable, match="not loaded"):
            await worker.call(1, 1, ROWS)
        await worker.tell(1, worker.part(2, 1))
        await worker.holds(1, "ready", 2)
        assert (await worker.call(1, 2, ROWS))[0].tolist() == [[2, 2]] * 3


async def test_a_file_that_cannot_be_loaded_fails_the_epoch(tmp_path):
    path = tmp_path / "m.json"
    path.write_text("{}")
    async with rank(path) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "failed", 1, "model file 'm.json' is no toy")
        await worker.heard(4)
        assert not processes("services.agent.device", RANK_ID=1)


async def test_a_stopped_device_process_is_noticed_though_nobody_calls(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        process = device_process(1)
        stop(process)
        await worker.holds(1, "failed", 1, "was stopped by a signal")
        await ended(process)


async def test_a_batch_in_a_stopped_device_process_fails_long_before_it_hangs(tmp_path):
    async with rank(toy(tmp_path, latency_seconds=60), hang_seconds=60) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        call = asyncio.create_task(worker.call(1, 1, ROWS))
        process = device_process(1)
        stop(process)
        async with asyncio.timeout(10):
            with pytest.raises(DeviceHung, match=r"of rank 1 was stopped by a signal: .*toy"):
                await call
        await worker.holds(1, "failed", 1, "was stopped by a signal")


async def test_a_device_process_that_is_stopped_for_a_moment_goes_on(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        process = device_process(1)
        stop(process)
        call = asyncio.create_task(worker.call(1, 1, ROWS))
        await worker.heard(2)
        process.send_signal(signal.SIGCONT)
        assert (await call)[0].tolist() == [[2, 2]] * 3


async def test_a_rank_answers_without_outputs_when_nobody_wants_them(tmp_path):
    async with rank(toy(tmp_path)) as worker:
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        assert await worker.call(1, 1, ROWS, without_outputs=True) == []


async def test_a_rank_without_inputs_is_told_how_many_rows_there_are(tmp_path):
    path = toy(tmp_path, function="identity", inputs=[], outputs=[])
    async with rank(path) as worker:
        await worker.tell(1, worker.part(1, 1))
        (signature,) = (await worker.holds(1, "ready", 1)).models
        assert (signature.subgraphs[0].inputs, signature.batch_size) == ((), 0)
        assert await worker.call(1, 1, [], rows=3) == []


async def test_a_scheduler_that_cannot_start_fails_the_epoch(tmp_path, monkeypatch):
    (tmp_path / "mindspore.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    async with rank(toy(tmp_path, latency_seconds=60)) as worker:
        await worker.tell(1, worker.part(1, 1, "127.0.0.1:0"))
        reason = "MindSpore's scheduler ended (MindSpore is not installed here"
        await worker.holds(1, "failed", 1, reason)
        await until(
            lambda: not processes("services.agent.device", RANK_ID=1), what="the end of the rank"
        )
        await worker.tell(1, worker.part(2, 1, "192.0.2.1:0"))
        reason = "MindSpore's scheduler on 192.0.2.1: Cannot assign requested address"
        await worker.holds(1, "failed", 2, reason)
        await worker.tell(1, worker.part(3, 1, "somewhere"))
        await worker.holds(1, "failed", 3, "MindSpore's scheduler: 'somewhere' is not an address")


TABLE = json.dumps({"server_list": []})


async def test_ranks_on_ascends_get_rank_table_and_groups(tmp_path):
    groups = [tmp_path / name for name in ("a.pb", "b.pb")]
    for group in groups:
        group.write_bytes(b"")
    settings = {"device_type": "Ascend", "device_id": 6, "group_config_files": groups}
    async with rank(toy(tmp_path), **settings) as worker:
        await worker.tell(1, worker.part(1, 1, rank_table=TABLE))
        await worker.holds(1, "ready", 1)
        told = device_process(1).environ()
        assert told["PARA_GROUP_FILE"] == f"{groups[0]};{groups[1]}"
        assert {name: told[name] for name in ("RANK_SIZE", "DEVICE_ID", "MS_ENABLE_HCCL")} == {
            "RANK_SIZE": "2", "DEVICE_ID": "6", "MS_ENABLE_HCCL": "1",
        }  # fmt: skip
        table = Path(told["RANK_TABLE_FILE"])
        assert table.read_text() == TABLE
        process = device_process(1)
        await worker.tell(1)
        await ended(process)
        await until(lambda: not table.exists(), what="the end of the rank table's file")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--model-files", "Cannot access model file '{}'"),
        ("--group-config-files", "Cannot access group config file '{}'"),
    ],
)
async def test_an_agent_ends_when_a_file_of_its_rank_cannot_be_read(tmp_path, option, reason):
    missing = str(tmp_path / "not, here.mindir")
    files = {"--model-files": str(toy(tmp_path))} | {option: missing}
    async with Cluster(tmp_path) as cluster:
        arguments = [each for pair in files.items() for each in pair]
        cluster.start_agent("agent", "127.0.0.1:1", "--rank", "0", *arguments)
        assert await asyncio.to_thread(cluster.processes["agent"].wait, 60) == 1
    said = (tmp_path / "agent.log").read_text().splitlines()[-1]
    assert said == f"agent: {reason.format(missing)}"


async def test_the_end_of_an_agent_ends_its_device_process_though_it_is_stopped(tmp_path):
    async with gang_worker(FILES, 2) as worker, Cluster(tmp_path) as cluster:
        files = ("--model-files", str(toy(tmp_path)))
        cluster.start_agent("agent", worker.address, "--rank", "1", *files)
        await worker.tell(1, worker.part(1, 1))
        await worker.holds(1, "ready", 1)
        process = device_process(1)
        process.suspend()
        cluster.processes["agent"].kill()
        await ended(process)
