"""Several masters at one address."""

import asyncio

import grpc
import pytest

from protos.ms_service import ms_service_pb2 as pb
from shared.ports import free_port
from tests.cluster.test_direct import REQUESTS
from tests.support.cluster import add_servable, until

# What happens between services happens on both wires.
WIRES = ["grpcio", "native"]

ASKED = "mindserve_master_requests_total outcome=ok"


async def ask(address):
    """One request on a connection of its own."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options) as channel:
        call = channel.unary_unary("/mindspore.serving.proto.MSService/Predict")
        return pb.PredictReply.FromString(await call(REQUESTS["one instance"], timeout=20))


@pytest.fixture
async def masters(cluster):
    add_servable(cluster.servables)
    joins = [cluster.membership, f"127.0.0.1:{free_port()}"]
    for name, address in zip(("one", "two"), joins, strict=True):
        cluster.start(
            name, "master", "--listen", cluster.front, "--membership-address", address,
            "--reuse-port",
        )  # fmt: skip
    worker = cluster.start_worker("worker", "--masters", ",".join(joins))
    cluster.start_agent("agent", worker)
    for address in joins:
        await cluster.ready("toy", address)
    return cluster


async def test_connections_spread_over_the_masters_of_one_port(masters):
    answered = {"one": 0.0, "two": 0.0}

    async def both_were_asked():
        assert (await ask(masters.front)).instances
        for name in answered:
            counted = await asyncio.to_thread(masters.metrics_of, name)
            answered[name] = counted.get(ASKED, 0)
        return all(answered.values())

    await until(both_were_asked, what=lambda: f"requests at both: {answered}")


async def test_the_other_master_answers_when_one_is_killed(masters):
    masters.processes["one"].kill()
    await until(lambda: masters.processes["one"].poll() is not None, what="its end")
    for _ in range(10):
        assert (await ask(masters.front)).instances


async def test_without_the_setting_a_second_master_is_refused(cluster):
    cluster.start_master()
    await cluster.ready("")
    cluster.start(
        "second", "master", "--listen", cluster.front,
        "--membership-address", f"127.0.0.1:{free_port()}", "--reuse-port",
    )  # fmt: skip
    await until(lambda: cluster.processes["second"].poll() is not None, what="its end")
    assert cluster.processes["second"].poll() == 1
    assert f"cannot listen on {cluster.front}" in cluster.logs()
