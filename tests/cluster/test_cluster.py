"""Master, worker and agents as real processes, with the reference backend."""

import asyncio
import signal

import grpc
import numpy as np
import pytest

from shared.ports import free_port
from tests.support.cluster import add_servable, outputs, until

# What happens between services happens on both wires.
WIRES = ["grpcio", "native"]

PREDICTED = "method=predict outcome=ok servable=toy version=1"


async def test_a_request_walks_through_all_three_services(cluster):
    add_servable(cluster.servables)
    await cluster.start_all()
    assert outputs(await cluster.predict([1, 2], [3, 4])) == [[2, 4], [6, 8]]


async def test_services_find_one_another_in_any_order_of_starting(cluster):
    add_servable(cluster.servables)
    address = cluster.start_worker()
    cluster.start_agent("agent", address)
    await cluster.ready("toy", address)
    cluster.start_master()
    await cluster.ready("toy")
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (
            {"servable": "nobody"},
            "Request servable(nobody) method(predict) , servable is not available",
        ),
        ({"method": "nothing"}, "method is not available"),
        ({"version": 9}, "version(9) , servable is not available"),
    ],
)
async def test_what_is_not_served_is_named(cluster, wrong, reason):
    add_servable(cluster.servables)
    await cluster.start_all()
    reply = await cluster.predict([1, 2], **wrong)
    assert reason in reply.error_msg[0].error_msg.decode()


async def test_bad_requests_are_answered_with_what_was_expected(cluster):
    add_servable(cluster.servables)
    await cluster.start_all()
    wrong_shape = await cluster.predict([1, 2, 3])
    assert "[2]" in wrong_shape.error_msg[0].error_msg.decode()
    empty = await cluster.predict()
    assert empty.error_msg[0].error_code != 0
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]


async def test_a_killed_device_process_fails_its_batch_only_and_comes_back(cluster):
    add_servable(cluster.servables, faults={"-2": "kill"})
    await cluster.start_all()
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await cluster.predict([-2, 0])
    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "SIGKILL" in lost.value.details()
    await until(lambda: answers(cluster), what="the device process to come back")


async def test_a_hung_device_process_is_ended_and_comes_back(cluster):
    add_servable(cluster.servables, faults={"-3": "hang"})
    cluster.start_master()
    cluster.start_agent("agent", cluster.start_worker(), "--hang-seconds", "0.5")
    await cluster.ready("toy")
    with pytest.raises(grpc.aio.AioRpcError) as lost:
        await cluster.predict([-3, 0])
    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    await until(lambda: answers(cluster), what="the device process to come back")


async def answers(cluster):
    try:
        return outputs(await cluster.predict([1, 2], timeout=1.0)) == [[2, 4]]
    except (grpc.aio.AioRpcError, AssertionError):
        return False


async def test_a_deadline_in_the_queue_is_kept(cluster):
    add_servable(cluster.servables, latency_seconds=1.0)
    await cluster.start_all()
    first = asyncio.create_task(cluster.predict([1, 2]))
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await cluster.predict([3, 4], timeout=0.3)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert outputs(await first) == [[2, 4]]


async def test_a_batch_handed_over_ahead_whose_caller_left_never_runs(cluster):
    # Its row would end the device process.
    add_servable(cluster.servables, latency_seconds=1.0, faults={"-2": "kill"})
    await cluster.start_all(worker=("--max-batch-size", "1"))
    first = asyncio.create_task(cluster.predict([1, 2]))
    await until(lambda: batches_of(cluster) == 1, what="the first batch")
    unwanted = asyncio.create_task(cluster.predict([-2, 0]))
    await until(lambda: batches_of(cluster) == 2, what="the second batch")
    unwanted.cancel()
    await until(
        lambda: cluster.metrics_of("worker")["mindserve_worker_requests_outstanding"] == 1,
        what="the worker to hear that its caller left",
    )
    last = asyncio.create_task(cluster.predict([3, 4]))
    assert outputs(await first) == [[2, 4]]
    assert outputs(await last) == [[6, 8]]
    assert "SIGKILL" not in cluster.logs()


def batches_of(cluster):
    counted = cluster.metrics_of("worker")
    return sum(
        n for name, n in counted.items() if name.startswith("mindserve_worker_batch_rows_count")
    )


async def test_a_full_queue_refuses_at_once_and_those_inside_are_answered(cluster):
    add_servable(cluster.servables, latency_seconds=0.5)
    await cluster.start_all(worker=("--max-queued-rows", "2", "--max-batch-size", "1"))
    calls = [asyncio.create_task(cluster.predict([n, n])) for n in range(6)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in done if isinstance(each, grpc.aio.AioRpcError)]
    assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "rows wait already" in refused[0].details()
    answered = [n for n, each in enumerate(done) if each not in refused]
    assert len(answered) == 4  # one runs, one follows it at the agent, two wait
    assert [outputs(done[n]) for n in answered] == [[[2 * n, 2 * n]] for n in answered]


async def test_a_master_holds_no_more_requests_than_it_may(cluster):
    add_servable(cluster.servables, latency_seconds=0.5)
    cluster.start_master("--max-requests", "2")
    cluster.start_agent("agent", cluster.start_worker())
    await cluster.ready("toy")
    calls = [asyncio.create_task(cluster.predict([n, n])) for n in range(5)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    refused = [each for each in done if isinstance(each, grpc.aio.AioRpcError)]
    assert len(refused) == 3
    assert {each.code() for each in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "enqueued requests count exceeds the limit 2" in refused[0].details()


async def test_a_worker_registers_with_every_master(cluster):
    add_servable(cluster.servables)
    cluster.start_master()
    front, membership = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    cluster.start("second", "master", "--listen", front, "--membership-address", membership)
    address = cluster.start_worker("worker", "--masters", f"{cluster.membership},{membership}")
    cluster.start_agent("agent", address)
    await cluster.ready("toy")
    await cluster.ready("toy", front)
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]


async def test_neighbours_of_a_caller_who_leaves_are_answered(cluster):
    add_servable(cluster.servables, latency_seconds=0.3)
    await cluster.start_all()
    calls = [asyncio.create_task(cluster.predict([n, n])) for n in range(5)]
    await until(lambda: True, what="a first moment")
    calls[2].cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    for n in (0, 1, 3, 4):
        assert outputs(done[n]) == [[2 * n, 2 * n]]


async def test_after_a_master_restart_everyone_is_back_without_being_touched(cluster):
    add_servable(cluster.servables)
    await cluster.start_all()
    cluster.processes["master"].kill()
    cluster.processes["master"].wait()
    cluster.start_master()
    await until(lambda: answers(cluster), seconds=10, what="the worker to register again")


async def test_two_workers_share_load_and_a_draining_one_loses_nothing(cluster):
    add_servable(cluster.servables, latency_seconds=0.01)
    cluster.start_master()
    addresses = {name: cluster.start_worker(name) for name in ("one", "two")}
    for name, address in addresses.items():
        cluster.start_agent(f"agent-{name}", address)
    for address in addresses.values():
        await cluster.ready("toy", address)
    await cluster.ready("toy")
    failures = []
    stop = asyncio.Event()

    async def caller():
        while not stop.is_set():
            try:
                assert outputs(await cluster.predict([1, 2])) == [[2, 4]]
            except (grpc.aio.AioRpcError, AssertionError) as failure:
                failures.append(failure)

    callers = [asyncio.create_task(caller()) for _ in range(8)]

    async def both_work():
        counts = [await asyncio.to_thread(cluster.metrics_of, name) for name in addresses]
        name = "mindserve_worker_requests_total " + PREDICTED
        return all(each.get(name, 0) > 20 for each in counts)

    await until(both_work, what="both workers to have a share")
    cluster.processes["one"].send_signal(signal.SIGTERM)
    await until(
        lambda: cluster.processes["one"].poll() is not None, what="the drained worker's end"
    )
    stop.set()
    await asyncio.gather(*callers)
    assert failures == []
    assert cluster.processes["one"].returncode == 0
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]


async def two_agents_hold_it(cluster):
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    return counted.get("mindserve_worker_agents_holding servable=toy version=1") == 2


async def test_an_agent_killed_under_load_fails_at_most_its_batch(cluster):
    add_servable(cluster.servables, latency_seconds=0.01)
    await cluster.start_all(agents=2, worker=("--max-batch-size", "4"))
    await until(lambda: two_agents_hold_it(cluster), what="both agents to hold the servable")
    failures, answered = [], 0
    stop = asyncio.Event()

    async def caller():
        nonlocal answered
        while not stop.is_set():
            try:
                assert outputs(await cluster.predict([1, 2])) == [[2, 4]]
                answered += 1
            except grpc.aio.AioRpcError as failure:
                failures.append(failure)

    callers = [asyncio.create_task(caller()) for _ in range(16)]
    await until(lambda: answered > 100, what="load")
    cluster.processes["agent0"].kill()
    after = answered
    await until(lambda: answered > after + 200, what="the other agent to go on")
    stop.set()
    await asyncio.gather(*callers)
    assert len(failures) <= 4
    for failure in failures:
        assert failure.code() is grpc.StatusCode.UNAVAILABLE
        assert "toy" in failure.details()


async def test_readiness_tells_the_truth_when_the_last_agent_goes(cluster):
    add_servable(cluster.servables)
    await cluster.start_all()
    cluster.processes["agent0"].kill()

    async def not_ready():
        return not await cluster.serving("toy")

    await until(not_ready, what="the master to say so")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await cluster.predict([1, 2])
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_large_batches_travel_in_shared_memory_and_small_ones_in_messages(cluster):
    add_servable(cluster.servables, dims=(-1, 20_000))
    await cluster.start_all()
    wide = np.arange(20_000, dtype=np.float32)
    for rows in (1, 5, 32):
        answers = outputs(await cluster.predict(*(wide + n for n in range(rows))))
        assert np.array_equal(answers, [(wide + n) * 2 for n in range(rows)])
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    assert counted["mindserve_worker_handovers_total tensors=shared_memory"] == 3
    assert counted["mindserve_worker_handovers_total tensors=message"] == 0


async def test_an_agent_that_cannot_reach_the_workers_memory_gets_tensors_in_messages(cluster):
    add_servable(cluster.servables, dims=(-1, 20_000))
    cluster.start_master()
    # An address that is not on this host as far as the worker can see.
    cluster.start_agent("agent", cluster.start_worker("worker"), "--no-local-socket")
    await cluster.ready("toy")
    wide = np.arange(20_000, dtype=np.float32)
    assert np.array_equal(outputs(await cluster.predict(wide)), [wide * 2])
    counted = await asyncio.to_thread(cluster.metrics_of, "worker")
    assert counted["mindserve_worker_handovers_total tensors=message"] == 1


async def test_every_service_counts_and_times_what_it_does(cluster):
    add_servable(cluster.servables, faults={"-1": "raise"})
    await cluster.start_all()
    outputs(await cluster.predict([1, 2], [3, 4]))
    await cluster.predict([-1, 0])
    master, worker, agent = [
        await asyncio.to_thread(cluster.metrics_of, name) for name in ("master", "worker", "agent0")
    ]
    assert master["mindserve_master_requests_total outcome=ok"] == 2
    assert master["mindserve_master_request_seconds_count"] == 2
    assert master["mindserve_master_workers"] == 1
    assert worker["mindserve_worker_requests_total " + PREDICTED] == 1
    failed = "method=predict outcome=ExecutionFailed servable=toy version=1"
    assert worker["mindserve_worker_requests_total " + failed] == 1
    assert worker["mindserve_worker_queue_seconds_count"] == 2
    assert worker["mindserve_worker_batch_rows_sum"] == 3
    stage = "method=predict servable=toy stage=Model 'model.json'"
    assert worker["mindserve_worker_stage_seconds_count " + stage] == 2
    assert agent["mindserve_agent_device_seconds_count"] == 1
    assert agent["mindserve_agent_failures_total reason=ExecutionFailed"] == 1


async def test_an_agent_that_is_told_to_stop_finishes_its_batch(cluster):
    add_servable(cluster.servables, latency_seconds=0.5)
    await cluster.start_all(agents=2, worker=("--max-batch-size", "1"))

    await until(lambda: two_agents_hold_it(cluster), what="both agents to hold the servable")
    calls = [asyncio.create_task(cluster.predict([n, n])) for n in range(2)]

    async def both_busy():
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
        return counted["mindserve_worker_handovers_total tensors=message"] == 2

    await until(both_busy, what="a batch on each agent")
    cluster.processes["agent0"].terminate()
    answers = [outputs(await call) for call in calls]
    assert answers == [[[0, 0]], [[2, 2]]]
    await until(lambda: cluster.processes["agent0"].poll() == 0, what="the agent's end")
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]


async def test_a_newer_version_is_found_and_takes_over_without_losing_a_request(cluster):
    add_servable(cluster.servables, function="identity")
    await cluster.start_all(worker=("--watch-seconds", "0.1"))
    answers = []

    async def caller():
        while True:
            answers.extend(outputs(await cluster.predict([1, 2])))

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    await until(lambda: answers.count([1, 2]) > 50, what="answers of version 1")
    add_servable(cluster.servables, version=2, function="double")
    await until(lambda: answers.count([2, 4]) > 50, what="answers of version 2")
    await until(lambda: version_1_is_gone(cluster), what="the end of version 1")
    after = len(answers)
    await until(lambda: len(answers) > after + 50, what="answers when version 1 is gone")
    assert not [each for each in callers if each.done()]
    for each in callers:
        each.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert answers[-1] == [2, 4]
    assert {tuple(each) for each in answers} == {(1, 2), (2, 4)}


async def version_1_is_gone(cluster):
    try:
        outputs(await cluster.predict([1, 2], version=1))
    except grpc.aio.AioRpcError as failure:
        return failure.code() is grpc.StatusCode.UNAVAILABLE
    return False
