"""Clients that call a worker itself."""

import asyncio

import grpc
import numpy as np

from mindspore_serving.client import AsyncClient
from protos.ms_service import ms_service_pb2 as pb
from shared.ports import free_port
from tests.support.cluster import add_servable, until

# What happens between services happens on both wires.
WIRES = ["grpcio", "native"]


def request(*rows, servable="toy", method="predict", version=0, dtype=pb.MS_FLOAT32):
    spec = pb.ServableSpec(name=servable, method_name=method, version_number=version)
    made = pb.PredictRequest(servable_spec=spec)
    for row in rows:
        array = np.asarray(row, np.float32)
        tensor = made.instances.add().items["x1"]
        tensor.dtype = dtype
        tensor.shape.dims.extend(array.shape)
        tensor.data = array.tobytes()
    return made.SerializeToString()


REQUESTS = {
    "one instance": request([1, 2]),
    "three instances": request([1, 2], [3, 4], [5, 6]),
    "this version": request([1, 2], version=1),
    "no such version": request([1, 2], version=9),
    "no such servable": request([1, 2], servable="nobody"),
    "no such method": request([1, 2], method="nothing"),
    "no instances": request(),
    "a wrong shape": request([1, 2, 3]),
    "one wrong shape of two": request([1, 2], [1, 2, 3]),
    "a wrong dtype": request([1, 2], dtype=pb.MS_INT32),
    "no message of this kind": b"\x0a\xff",
    "nothing": b"",
}


async def ask(address, message, timeout=20.0):
    """What a caller sees: the reply, or status and text."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary("/mindspore.serving.proto.MSService/Predict")
        try:
            return pb.PredictReply.FromString(await call(message, timeout=timeout))
        except grpc.aio.AioRpcError as failure:
            return failure.code(), failure.details()


async def test_a_worker_answers_clients_as_a_master_does(cluster):
    add_servable(cluster.servables)
    direct = f"127.0.0.1:{free_port()}"
    await cluster.start_all(worker=("--clients-address", direct))
    for what, message in REQUESTS.items():
        assert await ask(direct, message) == await ask(cluster.front, message), what
    assert (await ask(direct, REQUESTS["one instance"])).instances
    for name in ("", "toy", "mindspore.serving.proto.MSService"):
        assert await cluster.serving(name, direct), name


async def test_a_worker_says_that_it_knows_no_labels(cluster):
    add_servable(cluster.servables)
    direct = f"127.0.0.1:{free_port()}"
    cluster.start_agent("agent", cluster.start_worker("worker", "--clients-address", direct))
    await cluster.ready("toy", direct)
    async with AsyncClient(direct, "toy", "predict", version_label="stable") as client:
        result = await client.infer({"x1": np.ones(2, np.float32)})
    assert "x-version-label: a worker knows no labels" in result["error"]


async def test_a_worker_alone_serves_and_answers_what_it_has_accepted_when_told_to_stop(cluster):
    add_servable(cluster.servables, latency_seconds=0.5)
    direct = f"127.0.0.1:{free_port()}"
    cluster.start_agent("agent", cluster.start_worker("worker", "--clients-address", direct))
    await cluster.ready("toy", direct)
    call = asyncio.create_task(ask(direct, REQUESTS["one instance"]))

    async def accepted():
        counted = await asyncio.to_thread(cluster.metrics_of, "worker")
        return counted["mindserve_worker_requests_outstanding"] == 1

    await until(accepted, what="the request to be accepted")
    cluster.processes["worker"].terminate()
    assert (await call).instances
    await until(lambda: cluster.processes["worker"].poll() == 0, what="the worker's end")


async def test_a_client_of_a_worker_is_heard_when_its_time_is_up(cluster):
    add_servable(cluster.servables, latency_seconds=1.0)
    direct = f"127.0.0.1:{free_port()}"
    await cluster.start_all(worker=("--clients-address", direct))
    code, _ = await ask(direct, REQUESTS["one instance"], timeout=0.3)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
