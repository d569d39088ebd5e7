"""Handlers made for grpclib, on both wires, asked by grpclib's and grpcio's clients."""

import asyncio
import importlib.util
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import OVERALL, Health
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from structlog.testing import capture_logs

from protos.ms_service import ms_service_pb2 as pb
from shared.deadline import Deadline
from shared.errors import Overloaded
from shared.wire.grpclib_handlers import routes_of
from shared.wire.wires import wire_named

PATH = "/mindspore.serving.proto.MSService/Predict"


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """What protoc makes of our contract with grpclib's plug-in: a base class and a stub."""
    folder = tmp_path_factory.mktemp("generated")
    plugin = Path(sys.executable).with_name("protoc-gen-grpclib_python")
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", "-I."),
            *(f"--plugin=protoc-gen-grpclib_python={plugin}", f"--grpclib_python_out={folder}"),
            "protos/ms_service/ms_service.proto",
        ],
        cwd=Path(__file__).parents[2],
        check=True,
    )
    file = folder / "protos" / "ms_service" / "ms_service_grpc.py"
    spec = importlib.util.spec_from_file_location("ms_service_grpc", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["grpcio", "native"])
def serving(request):
    @asynccontextmanager
    async def serve(service):
        wire = wire_named(request.param)
        async with asyncio.timeout(30), wire.serve(routes_of(service), ["127.0.0.1:0"]) as server:
            host, _, port = server.addresses[0].rpartition(":")
            channel = Channel(host, int(port))
            try:
                yield channel, wire, server.addresses[0]
            finally:
                channel.close()

    return serve


def a_service(generated, predict):
    class Servable(generated.MSServiceBase):
        async def Predict(self, stream):  # noqa: N802 (the contract names it so)
            await predict(stream)

    return Servable()


async def test_a_generated_service_answers(generated, serving):
    seen = {}

    async def predict(stream):
        seen.update(stream.metadata)
        seen["left"] = stream.deadline.time_remaining()
        request = await stream.recv_message()
        assert await stream.recv_message() is None
        await stream.send_message(pb.PredictReply(servable_spec=request.servable_spec))

    async with serving(a_service(generated, predict)) as (channel, _, _):
        request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="toy"))
        stub = generated.MSServiceStub(channel)
        reply = await stub.Predict(request, timeout=20, metadata={"who": "me", "raw-bin": b"\x00"})
    assert reply.servable_spec.name == "toy"
    assert (seen["who"], seen["raw-bin"]) == ("me", b"\x00")
    assert 0 < seen["left"] <= 20


@pytest.mark.parametrize("status", [Status.ALREADY_EXISTS, Status.UNAUTHENTICATED])
async def test_any_status_of_grpc_reaches_the_caller(generated, serving, status):
    async def predict(stream):
        raise GRPCError(status, "says the handler")

    async with serving(a_service(generated, predict)) as (channel, _, address):
        with pytest.raises(GRPCError) as failure:
            await generated.MSServiceStub(channel).Predict(pb.PredictRequest())
        assert (failure.value.status, failure.value.message) == (status, "says the handler")
        async with grpc.aio.insecure_channel(address) as other:
            with pytest.raises(grpc.aio.AioRpcError) as same:
                await other.unary_unary(PATH)(b"")
    assert same.value.code().value[0] == status.value


async def test_our_own_errors_keep_their_names(generated, serving):
    async def predict(stream):
        raise Overloaded("full")

    async with serving(a_service(generated, predict)) as (_, wire, address):
        async with wire.connect(address) as channel:
            with pytest.raises(Overloaded, match="full"):
                await channel.call(PATH, b"", deadline=a_deadline())


async def test_what_a_handler_forgets_or_may_not_do_is_an_internal_error(generated, serving):
    async def nothing(stream):
        await stream.recv_message()

    async def metadata(stream):
        await stream.send_initial_metadata(metadata={"a": "b"})

    async def twice(stream):
        await stream.send_message(pb.PredictReply())
        await stream.send_message(pb.PredictReply())

    for predict in (nothing, metadata, twice):
        async with serving(a_service(generated, predict)) as (channel, _, _):
            with capture_logs() as logged, pytest.raises(GRPCError) as failure:
                await generated.MSServiceStub(channel).Predict(pb.PredictRequest())
        assert failure.value.status is Status.INTERNAL
        assert isinstance(logged[0]["exc_info"], ProtocolError)


async def test_a_message_that_is_none_of_its_type_is_refused(generated, serving):
    async def predict(stream):
        await stream.recv_message()

    async with serving(a_service(generated, predict)) as (_, _, address):
        async with grpc.aio.insecure_channel(address) as channel:
            with pytest.raises(grpc.aio.AioRpcError, match=r"not a .*PredictRequest") as failure:
                await channel.unary_unary(PATH)(b"\xff")
    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_service_that_grpclib_brings_along_streams(serving):
    status = ServiceStatus()
    async with serving(Health({OVERALL: [status]})) as (channel, _, _):
        stub = HealthStub(channel)
        async with stub.Watch.open() as watch:
            await watch.send_message(HealthCheckRequest(), end=True)
            for healthy, answer in (
                (None, HealthCheckResponse.UNKNOWN),
                (True, HealthCheckResponse.SERVING),
                (False, HealthCheckResponse.NOT_SERVING),
            ):
                status.set(healthy)
                while (await watch.recv_message()).status != answer:
                    pass
            await watch.cancel()
        assert (await stub.Check(HealthCheckRequest())).status == HealthCheckResponse.NOT_SERVING


def a_deadline():
    return Deadline.after(10.0, now=asyncio.get_running_loop().time())
