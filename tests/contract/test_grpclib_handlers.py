"""Handlers made for grpclib, on both wires, asked by grpclib's and grpcio's clients."""

import asyncio
import importlib.util
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from grpclib.client import (
    Channel,
    StreamStreamMethod,
    StreamUnaryMethod,
    UnaryStreamMethod,
)
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError, ProtocolError
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


class Streaming:
    """As grpclib's generator maps methods of every kind to handlers."""

    async def _collect(self, stream):
        names = [request.servable_spec.name async for request in stream]
        await stream.send_message(named("+".join(names)))

    async def _count(self, stream):
        request = await stream.recv_message()
        for number in range(int(request.servable_spec.name)):
            await stream.send_message(named(str(number)))

    async def _echo(self, stream):
        async for request in stream:
            if request.servable_spec.name == "stop":
                await stream.send_trailing_metadata(
                    status=Status.ABORTED, status_message="as asked"
                )
            await stream.send_message(named(request.servable_spec.name))

    async def _forget(self, stream):
        await stream.recv_message()

    def __mapping__(self):
        def handler(function, cardinality):
            return Handler(function, cardinality, pb.PredictRequest, pb.PredictReply)

        return {
            "/a.B/Collect": handler(self._collect, Cardinality.STREAM_UNARY),
            "/a.B/Count": handler(self._count, Cardinality.UNARY_STREAM),
            "/a.B/Echo": handler(self._echo, Cardinality.STREAM_STREAM),
            "/a.B/Forget": handler(self._forget, Cardinality.STREAM_UNARY),
        }


def named(name):
    return pb.PredictReply(servable_spec=pb.ServableSpec(name=name))


def asking(name):
    return pb.PredictRequest(servable_spec=pb.ServableSpec(name=name))


def method(kind, channel, name):
    return kind(channel, f"/a.B/{name}", pb.PredictRequest, pb.PredictReply)


async def test_methods_of_every_kind_stream(serving):
    async with serving(Streaming()) as (channel, _, _):
        collect = method(StreamUnaryMethod, channel, "Collect")
        assert (await collect([asking("a"), asking("b")])).servable_spec.name == "a+b"
        counted = await method(UnaryStreamMethod, channel, "Count")(asking("3"))
        assert [each.servable_spec.name for each in counted] == ["0", "1", "2"]
        async with method(StreamStreamMethod, channel, "Echo").open() as stream:
            for name in ("x", "y"):
                await stream.send_message(asking(name))
                assert (await stream.recv_message()).servable_spec.name == name
            await stream.send_message(asking("stop"), end=True)
            with pytest.raises(GRPCError, match="as asked") as failure:
                await stream.recv_message()
                await stream.recv_trailing_metadata()
        assert failure.value.status is Status.ABORTED
        with capture_logs(), pytest.raises(GRPCError) as forgotten:
            await method(StreamUnaryMethod, channel, "Forget")([asking("a")])
        assert forgotten.value.status is Status.INTERNAL


def a_deadline():
    return Deadline.after(10.0, now=asyncio.get_running_loop().time())
