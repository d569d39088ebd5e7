"""A gang over two machines with real collectives: cut off, and reconnected."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from protos.ms_service import ms_service_pb2 as pb
from shared.ports import free_port
from tests.support.cluster import Cluster, until
from tests.support.machines import two_machines

EXPORT = Path(__file__).parents[2] / "examples/matmul_distributed/export_model/export_model.py"
CONFIG = """\
from mindspore_serving.server import distributed, register

model = distributed.declare_servable(rank_size=2, stage_size=1, with_batch_dim=False)


@register.register_method(output_names=["y"])
def predict(x):
    return register.add_stage(model, x, outputs_count=1)
"""
FORMED_SECONDS = 180.0


@pytest.fixture
def machines():
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the program ip (package iproute2)")
    try:
        with two_machines() as machines:
            yield machines
    except subprocess.CalledProcessError as failure:
        pytest.skip(f"no network namespaces here: {failure.stderr.decode().strip()}")


@pytest.fixture
async def cluster(tmp_path, machines):
    async with Cluster(tmp_path, front=f"unix:{tmp_path}/front.sock") as cluster:
        cluster.membership = f"{machines.address(0)}:{free_port()}"
        side_of = {"master": 0, "worker": 0, "rank0": 0, "rank1": 1}
        cluster.inside = {name: machines.inside(side) for name, side in side_of.items()}
        yield cluster


async def predict(cluster, timeout):
    """The answer for ones."""
    spec = pb.ServableSpec(name="matmul", method_name="predict")
    request = pb.PredictRequest(servable_spec=spec)
    tensor = request.instances.add().items["x"]
    tensor.dtype = pb.MS_FLOAT32
    tensor.shape.dims.extend([128, 96])
    tensor.data = np.ones((128, 96), np.float32).tobytes()
    call = cluster.channel.unary_unary(
        "/mindspore.serving.proto.MSService/Predict",
        request_serializer=pb.PredictRequest.SerializeToString,
        response_deserializer=pb.PredictReply.FromString,
    )
    reply = await call(request, timeout=timeout)
    assert not reply.error_msg, reply.error_msg
    return np.frombuffer(reply.instances[0].items["y"].data, np.float32)


async def answers(cluster):
    try:
        return bool(np.all(await predict(cluster, timeout=30) == -48))
    except grpc.aio.AioRpcError:
        return False


async def test_a_gang_over_two_machines_survives_that_one_of_them_is_cut_off(cluster, machines):
    (cluster.servables / "matmul").mkdir()
    (cluster.servables / "matmul/servable_config.py").write_text(CONFIG)
    export = [sys.executable, EXPORT, "--ranks", "2", "--directory", cluster.folder]
    quiet = os.environ | {"GLOG_v": "3"}
    await asyncio.to_thread(subprocess.run, export, check=True, timeout=300, env=quiet)
    address = f"{machines.address(0)}:{free_port()}"
    cluster.start_master()
    cluster.start_worker(
        "worker", "--lease-seconds", "3", "--gang-call-seconds", "2", address=address
    )
    for rank in (0, 1):
        cluster.start_agent(
            f"rank{rank}", address,
            *("--rank", str(rank), "--listen", f"{machines.address(rank)}:{free_port()}"),
            *("--model-files", str(cluster.folder / f"model/device{rank}/matmul.mindir")),
        )  # fmt: skip
    await until(
        lambda: answers(cluster), seconds=FORMED_SECONDS, what=lambda: f"-48\n{cluster.logs()}"
    )
    machines.cut()
    cut = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await predict(cluster, timeout=60)
    print(f"\ncut off: told after {time.monotonic() - cut:.1f} s: {failure.value.details()}")
    assert failure.value.code() is grpc.StatusCode.UNAVAILABLE
    # While it is cut off, nobody waits.
    await until(lambda: not_served(cluster), what="the master to hear of it")
    machines.mend()
    mended = time.monotonic()
    await until(
        lambda: answers(cluster), seconds=FORMED_SECONDS, what=lambda: f"-48\n{cluster.logs()}"
    )
    print(f"reconnected: serves again after {time.monotonic() - mended:.1f} s")


async def not_served(cluster):
    return not await cluster.serving("matmul")
