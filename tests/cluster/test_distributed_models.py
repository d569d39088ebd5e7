"""Distributed models on real services, with the reference backend: what breaks comes back."""

import asyncio
import signal
import time

import grpc
import psutil
import pytest

from shared.ports import free_port
from tests.support.cluster import Cluster, outputs, until
from tests.support.distributed import add_distributed

BACK_SECONDS = 60.0


@pytest.fixture
async def native(tmp_path):
    async with Cluster(tmp_path) as cluster:
        yield cluster


def start_ranks(cluster, worker, files, *arguments, prefix="rank"):
    for rank, file in enumerate(files):
        start_rank(cluster, worker, rank, file, *arguments, name=f"{prefix}{rank}")


def start_rank(cluster, worker, rank, file, *arguments, name=""):
    cluster.start_agent(
        name or f"rank{rank}", worker,
        *("--rank", str(rank), "--model-files", file, *arguments),
    )  # fmt: skip


async def start_gang(cluster, files, *worker_arguments, agent_arguments=()):
    cluster.start_master()
    worker = cluster.start_worker("worker", *worker_arguments)
    start_ranks(cluster, worker, files, *agent_arguments)
    await cluster.ready("toy")
    return worker


async def answers(cluster, expected=((2, 4),)):
    try:
        return outputs(await cluster.predict([1, 2])) == [list(row) for row in expected]
    except grpc.aio.AioRpcError:
        return False


async def refused(cluster):
    """The error of a request that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await cluster.predict([1, 2])
    return failure.value


def device_process(cluster, name):
    """The process in which an agent runs its model."""
    (child,) = psutil.Process(cluster.processes[name].pid).children()
    return child


async def until_answered(cluster, what):
    await until(lambda: answers(cluster), seconds=BACK_SECONDS, what=f"{what}\n{cluster.logs()}")


async def test_ranks_on_several_agents_answer_as_one_model(cluster):
    await start_gang(cluster, add_distributed(cluster.servables, rank_size=4))
    assert outputs(await cluster.predict([1, 2], [3, 4])) == [[2, 4], [6, 8]]


async def test_relayed_stages_answer_as_one_model(native):
    files = add_distributed(native.servables, rank_size=4, stage_size=2)
    await start_gang(native, files)
    assert outputs(await native.predict([1, 2], [3, 4])) == [[4, 8], [12, 16]]


async def test_large_tensors_go_from_stage_to_stage_in_shared_memory(native):
    files = add_distributed(native.servables, rank_size=4, stage_size=2, columns=30_000)
    await start_gang(native, files)
    row = list(range(30_000))
    assert outputs(await native.predict(row)) == [[4 * each for each in row]]
    handed = native.metrics_of("worker")
    assert handed["mindserve_worker_handovers_total tensors=shared_memory"] == 1
    assert handed["mindserve_worker_handovers_total tensors=message"] == 0


async def test_ranks_on_hosts_that_share_no_memory_answer_as_one_model(native):
    files = add_distributed(native.servables, rank_size=4, stage_size=2)
    await start_gang(native, files, agent_arguments=("--no-local-socket",))
    assert outputs(await native.predict([1, 2], [3, 4])) == [[4, 8], [12, 16]]


async def test_a_killed_device_process_of_one_rank_fails_calls_at_once_and_the_gang_comes_back(
    native,
):
    files = add_distributed(native.servables, rank_size=8, latency_seconds=0.02)
    await start_gang(native, files)
    late, ended = [], asyncio.Event()

    async def load():
        while not ended.is_set():
            began = time.monotonic()
            try:
                await native.predict([1, 2], timeout=30)
            except grpc.aio.AioRpcError as failure:
                late.append(time.monotonic() - began)
                assert failure.code() is grpc.StatusCode.UNAVAILABLE
                await asyncio.sleep(0.01)

    loads = [asyncio.create_task(load()) for _ in range(4)]
    await asyncio.sleep(0)
    device_process(native, "rank3").kill()
    killed = time.monotonic()
    await until(lambda: late, what="the first error")
    await until_answered(native, "the gang to come back")
    print(f"\nrank 3 of 8 killed: serves again after {time.monotonic() - killed:.2f} s")
    ended.set()
    await asyncio.gather(*loads)
    # What was in the gang's hands was told at once, what came meanwhile was refused at once.
    assert max(late) < 5.0
    assert native.processes["rank3"].poll() is None


async def test_a_killed_agent_is_missed_until_another_one_takes_its_rank(native):
    files = add_distributed(native.servables, rank_size=3)
    worker = await start_gang(native, files)
    native.processes["rank1"].kill()
    await until(lambda: not_answering(native), what="requests to be refused")
    assert (await refused(native)).code() is grpc.StatusCode.UNAVAILABLE
    start_rank(native, worker, 1, files[1], "--listen", f"127.0.0.1:{free_port()}", name="again1")
    await until_answered(native, "the gang with another agent")
    native.processes.pop("rank1").wait()


async def not_answering(cluster):
    return not await answers(cluster)


async def test_a_stopped_device_process_is_noticed_and_the_gang_comes_back(native):
    files = add_distributed(native.servables, rank_size=3)
    await start_gang(native, files, "--gang-call-seconds", "1")
    device_process(native, "rank1").send_signal(signal.SIGSTOP)
    failure = await refused(native)
    assert failure.code() is grpc.StatusCode.UNAVAILABLE
    assert "rank 1" in failure.details()
    await until_answered(native, "the gang to come back")


async def test_a_stopped_agent_is_noticed_and_the_gang_comes_back_when_it_goes_on(native):
    files = add_distributed(native.servables, rank_size=2)
    await start_gang(native, files, "--gang-call-seconds", "1", "--lease-seconds", "1")
    agent = native.processes["rank1"]
    agent.send_signal(signal.SIGSTOP)
    failure = await refused(native)
    assert failure.code() is grpc.StatusCode.UNAVAILABLE
    agent.send_signal(signal.SIGCONT)
    await until_answered(native, "the gang to come back")


async def test_a_worker_that_is_started_again_finds_its_ranks_and_goes_on_with_later_epochs(native):
    files = add_distributed(native.servables, rank_size=2)
    worker = await start_gang(native, files)
    native.processes["worker"].kill()
    native.processes.pop("worker").wait()
    await until(lambda: not_answering(native), what="requests to be refused")
    native.start_worker("worker2", address=worker)
    await until_answered(native, "the gang of the new worker")
    assert "epoch=2" in (native.folder / "worker2.log").read_text()


async def test_a_fault_of_one_rank_names_the_rank_and_starts_the_gang_again(native):
    files = add_distributed(native.servables, rank_size=3, faults={"-2": "kill", "-3": "raise"})
    await start_gang(native, files)
    for fault in (-2, -3):
        try:
            text = (await native.predict([fault, 0])).error_msg[0].error_msg.decode()
        except grpc.aio.AioRpcError as failure:
            text = failure.details()
        assert "rank 2" in text
        await until_answered(native, "the gang to come back")


async def test_replicas_serve_side_by_side_and_one_lost_rank_ends_one_of_them(native):
    files = add_distributed(native.servables, rank_size=2)
    worker = await start_gang(native, files)
    start_ranks(native, worker, files, prefix="replica")
    await until(lambda: gangs(native) == 2, what="two gangs")
    native.processes["rank0"].kill()
    native.processes.pop("rank0").wait()
    await until(lambda: gangs(native) == 1, what="one gang")
    assert await answers(native)


async def test_replicas_behind_several_workers_share_requests_and_one_of_them_is_enough(native):
    files = add_distributed(native.servables, rank_size=2, latency_seconds=0.02)
    await start_gang(native, files)
    other = native.start_worker("worker2")
    start_ranks(native, other, files, prefix="other")
    await native.ready("toy", other)
    await until(lambda: both_at_work(native), what="requests at both workers")
    native.processes["other1"].kill()
    native.processes.pop("other1").wait()
    await until_answered(native, "the gang that is left")


async def both_at_work(cluster):
    await asyncio.gather(*(cluster.predict([row, 0]) for row in range(8)))
    answered = "mindserve_worker_requests_total method=predict outcome=ok servable=toy version=1"
    return all(cluster.metrics_of(name).get(answered) for name in ("worker", "worker2"))


def gangs(cluster):
    held = "mindserve_worker_agents_holding servable=toy version=1"
    return cluster.metrics_of("worker").get(held)


async def test_a_worker_that_waits_for_its_ranks_in_vain_ends_and_says_which_are_missing(native):
    files = add_distributed(native.servables, rank_size=8)
    worker = native.start_worker("worker", "--wait-agents-seconds", "2")
    start_ranks(native, worker, files[:7])
    process = native.processes.pop("worker")
    assert await asyncio.to_thread(process.wait, 30) == 1
    said = (native.folder / "worker.log").read_text()
    assert (
        "Failed to wait for ready of all agents, current agents count: 7, rank size: 8:"
        " no agent yet for rank 7" in said
    )


async def test_all_methods_of_batching_hold_for_gangs(native):
    files = add_distributed(native.servables, rank_size=2, latency_seconds=0.05)
    await start_gang(native, files)
    replies = await asyncio.gather(*(native.predict([row, 0]) for row in range(40)))
    assert [outputs(reply) for reply in replies] == [[[2 * row, 0]] for row in range(40)]
    batches = native.metrics_of("worker")["mindserve_worker_batch_rows_count"]
    assert batches < 20
