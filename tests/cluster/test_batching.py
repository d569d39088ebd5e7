"""The knobs of batching from the client to the device: priorities, times, sizes, shapes."""

import asyncio
import json
import signal
import textwrap
from contextlib import contextmanager

import grpc
import numpy as np
import pytest

from mindspore_serving.client import AsyncClient
from shared.ports import free_port
from tests.support.cluster import until
from tests.support.http1 import ask

CONFIG = """
    import time

    from mindspore_serving.server import register

    single = register.declare_model("single.json", "Reference", max_batch_size=1, priority_levels=2)
    pairs = register.declare_model("pairs.json", "Reference", preferred_batch_sizes=[2])
    fours = register.declare_model("fours.json", "Reference")
    ragged = register.declare_model("ragged.json", "Reference")


    def sleep(x):
        time.sleep(1.0)
        return x


    @register.register_method(output_names=["y"])
    def predict(x):
        return register.add_stage(single, x, outputs_count=1)


    @register.register_method(output_names=["y"], timeout_seconds=0.4)
    def hurried(x):
        return register.add_stage(single, x, outputs_count=1)


    @register.register_method(output_names=["y"], max_timeout_seconds=0.2)
    def hurried_function(x):
        return register.add_stage(sleep, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def in_pairs(x):
        return register.add_stage(pairs, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def in_fours(x):
        return register.add_stage(fours, x, outputs_count=1)


    @register.register_method(output_names=["y"])
    def of_any_shape(x):
        return register.add_stage(ragged, x, outputs_count=1)
"""
PREDICT = "/model/toy:predict"
MODELS = {
    "single": {"dims": [-1, 2], "latency_seconds": 0.1},
    "pairs": {"dims": [-1, 2]},
    "fours": {"dims": [4, 2]},
    "ragged": {"dims": [-1, -1]},
}


@pytest.fixture
async def stack(cluster):
    """A worker with one agent, behind a master that speaks REST too."""
    folder = cluster.servables / "toy" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "servable_config.py").write_text(textwrap.dedent(CONFIG))
    for name, model in MODELS.items():
        spec = [{"name": "x", "dtype": "float32", "dims": model["dims"]}]
        toy = {"function": "double", "inputs": spec, "outputs": spec}
        (folder / f"{name}.json").write_text(json.dumps(toy | model))
    cluster.rest = f"127.0.0.1:{free_port()}"
    cluster.direct = f"127.0.0.1:{free_port()}"
    cluster.start_master("--rest-address", cluster.rest)
    cluster.start_agent(
        "agent", cluster.start_worker("worker", "--clients-address", cluster.direct)
    )
    await cluster.ready("toy")
    return cluster


def row(number, size=2):
    return {"x": np.full(size, number, np.float32)}


@contextmanager
def busy(stack):
    """Its agent answers nobody meanwhile."""
    agent = stack.processes["agent"]
    agent.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        agent.send_signal(signal.SIGCONT)


def counted(stack, name):
    return stack.metrics_of("worker").get(f"mindserve_worker_{name}", 0)


async def test_higher_priorities_overtake_by_every_door(stack):
    answered = []

    async def infer(number, address="", **options):
        address = address or stack.front
        async with AsyncClient(address, "toy", "predict", raise_on_error=True) as client:
            await client.infer(row(number), **options)
        answered.append(number)

    async def post(number, level):
        body = {"instances": {"x": [number + 0.5] * 2}}
        answer = await ask(stack.rest, "POST", PREDICT, body, x_request_priority=level)
        assert answer.status == 200
        answered.append(number)

    def begin(count, *calls):
        callers.extend(map(asyncio.create_task, calls))
        return until(lambda: counted(stack, "requests_outstanding") == count, what="the requests")

    callers = []
    with busy(stack):
        await begin(2, infer(0), infer(1))  # one at work, one behind it
        await begin(5, infer(20, priority=2), infer(21, priority=2), post(22, "2"))
        await begin(8, infer(10, priority=1), infer(11, stack.direct, priority=1), post(12, "1"))
    await asyncio.gather(*callers)
    assert set(answered[:2]) == {0, 1}
    assert set(answered[2:5]) == {10, 11, 12}
    assert set(answered[5:]) == {20, 21, 22}  # of the lower of two levels


@pytest.mark.parametrize("priority", [4, 1000])
async def test_a_level_that_there_is_not_is_refused(stack, priority):
    for address in (stack.front, stack.direct):
        async with AsyncClient(address, "toy", "predict") as client:
            said = (await client.infer(row(1), priority=priority))["error"]
        assert "priority: expected a level from 1 (the highest)" in said
        assert f"got {priority}" in said.replace("'", "")
    body = {"instances": {"x": [0.5, 0.5]}}
    answer = await ask(stack.rest, "POST", PREDICT, body, x_request_priority=str(priority))
    assert answer.status == 400
    assert "priority: expected a level" in answer.json["error_msg"]


async def test_a_methods_own_time_ends_requests_that_came_without_one(stack):
    async def told(address, method, timeout=None):
        async with AsyncClient(address, "toy", method, raise_on_error=True) as client:
            with pytest.raises(grpc.aio.AioRpcError) as late:
                await client.infer([row(n) for n in range(3)], timeout)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        return late.value.details()

    where = "method: 'hurried', stage index(begin with 1): 1, error msg: servable 'toy' version 1,"
    for address in (stack.front, stack.direct):
        with busy(stack):
            said = await told(address, "hurried")
        assert said.startswith(f"Call Model 'single.json' Failed, {where} model 'single.json': the")
        assert "the deadline passed" in said
        said = await told(address, "hurried_function", 5.0)
        assert said.endswith("stage index(begin with 1): 1, error msg: the deadline passed")
    async with AsyncClient(stack.front, "toy", "hurried", raise_on_error=True) as client:
        with busy(stack):
            waiting = asyncio.create_task(client.infer(row(3), 10.0))
            with pytest.raises(grpc.aio.AioRpcError):
                await client.infer(row(4))
        # One that asked for more gets it: the method says what those get who do not.
        assert (await waiting)[0]["y"].tolist() == [6, 6]


async def test_batches_have_the_sizes_that_the_declaration_says(stack):
    async with AsyncClient(stack.front, "toy", "predict", raise_on_error=True) as client:
        await client.infer([row(n) for n in range(2)])
    assert counted(stack, "batch_rows_count") == 2
    async with AsyncClient(stack.front, "toy", "in_pairs", raise_on_error=True) as client:
        answer = await client.infer([row(n) for n in range(7)])
    assert [each["y"].tolist() for each in answer] == [[2 * n, 2 * n] for n in range(7)]
    assert counted(stack, "batch_rows_count") == 2 + 4


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11])
async def test_nobody_sees_the_rows_that_fill_a_static_batch(stack, count):
    async with AsyncClient(stack.front, "toy", "in_fours", raise_on_error=True) as client:
        answer = await client.infer([row(n) for n in range(count)])
    assert [each["y"].tolist() for each in answer] == [[2 * n, 2 * n] for n in range(count)]
    assert counted(stack, "batch_rows_sum") == count


async def test_ragged_instances_share_batches_with_their_like_and_come_back_in_order(stack):
    sizes = [1, 3, 1, 2, 3, 1, 5, 3, 1, 1]
    async with AsyncClient(stack.front, "toy", "of_any_shape", raise_on_error=True) as client:
        answers = await asyncio.gather(
            *(client.infer([row(n, size) for size in sizes]) for n in range(8))
        )
    for n, answer in enumerate(answers):
        assert [each["y"].tolist() for each in answer] == [[2 * n] * size for size in sizes]
    assert counted(stack, "batch_rows_count") < 8 * len(set(sizes)), "no batch was shared"


MINDSPORE_CONFIG = """
    from mindspore_serving.server import register

    model = register.declare_model("add_open.mindir", "MindIR", max_batch_size=8)


    @register.register_method(output_names=["y"])
    def add(x1, x2):
        return register.add_stage(model, x1, x2, outputs_count=1)
"""


@pytest.mark.mindspore
async def test_ragged_instances_of_a_real_model_are_grouped_by_shape(cluster, mindir):
    folder = cluster.servables / "toy" / "1"
    folder.mkdir(parents=True)
    (folder.parent / "servable_config.py").write_text(textwrap.dedent(MINDSPORE_CONFIG))
    (folder / "add_open.mindir").write_bytes((mindir / "add_open.mindir").read_bytes())
    await cluster.start_all()
    sizes = [1, 3, 1, 7, 3, 1] * 3
    async with AsyncClient(cluster.front, "toy", "add", raise_on_error=True) as client:

        async def added(n):
            instances = [{"x1": row(n, size)["x"], "x2": row(1, size)["x"]} for size in sizes]
            answer = await client.infer(instances)
            assert [each["y"].tolist() for each in answer] == [[n + 1] * size for size in sizes]

        await asyncio.gather(*(added(n) for n in range(6)))
    rows, batches = counted(cluster, "batch_rows_sum"), counted(cluster, "batch_rows_count")
    assert rows == 6 * len(sizes)
    assert batches < rows / 2
