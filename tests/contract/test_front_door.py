"""Health and reflection, asked by grpcio's own clients and by grpclib."""

import asyncio
import functools
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError

from protos.ms_service import ms_service_pb2 as pb
from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.membership import Hello, Offer, Offers
from shared.servable import ServableVersion
from shared.wire.exchange_server import serve_exchange
from shared.wire.grpcio import GrpcioWire
from shared.wire.interface import Routes
from shared.wire.membership import Membership

SERVING, NOT_SERVING, SERVICE_UNKNOWN = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
    health_pb2.HealthCheckResponse.SERVICE_UNKNOWN,
)
SERVICE = "mindspore.serving.proto.MSService"


@pytest.fixture(params=["grpcio", "native"])
def master(request):
    return functools.partial(a_master, request.param)


@asynccontextmanager
async def a_master(wire):
    settings = MasterSettings(listen="127.0.0.1:0", membership_address="127.0.0.1:0", wire=wire)
    async with asyncio.timeout(60), open_master(settings) as opened:
        yield opened


class Worker:
    """A member that answers every request with an empty reply."""

    def __init__(self, master):
        self._master = master
        self.offers = Offers((Offer(ServableVersion("toy", 1), frozenset({"predict"}), 10),))

    async def _answer(self, incoming):
        return pb.PredictReply(servable_spec=pb.ServableSpec(name="toy")).SerializeToString()

    async def _exchange(self, context, stream):
        await serve_exchange(stream, self._answer, max_outstanding=10)

    @asynccontextmanager
    async def joined(self):
        routes = Routes(streams={"/mindserve.serving.v1.Dispatch/Exchange": self._exchange})
        wire = GrpcioWire()
        async with wire.serve(routes, ["127.0.0.1:0"]) as server:
            self.membership = Membership(
                wire, lambda: Hello("w", server.addresses[0]), lambda: self.offers, int, print
            )
            task = asyncio.create_task(self.membership.keep_joined(self._master.membership_address))
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait([task])


def health(channel, method):
    make = channel.unary_unary if method == "Check" else channel.unary_stream
    return make(
        f"/grpc.health.v1.Health/{method}",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


async def check(channel, name):
    return (await health(channel, "Check")(health_pb2.HealthCheckRequest(service=name))).status


async def test_health_knows_the_process_the_service_and_each_servable(master):
    async with master() as opened, grpc.aio.insecure_channel(opened.address) as channel:
        assert await check(channel, "") == SERVING
        assert await check(channel, SERVICE) == SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await check(channel, "toy")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_health_watch_follows_a_servable_from_unknown_to_serving_to_gone(master):
    async with master() as opened, grpc.aio.insecure_channel(opened.address) as channel:
        watch = health(channel, "Watch")(health_pb2.HealthCheckRequest(service="toy"))
        states = aiter(watch)
        assert (await anext(states)).status == SERVICE_UNKNOWN
        async with Worker(opened).joined() as worker:
            assert (await anext(states)).status == SERVING
            worker.offers = Offers()
            worker.membership.changed()
            assert (await anext(states)).status == NOT_SERVING
            assert await check(channel, "toy") == NOT_SERVING
        watch.cancel()


async def test_a_draining_master_says_so_to_those_who_watch(master):
    async with master() as opened, grpc.aio.insecure_channel(opened.address) as channel:
        watch = aiter(health(channel, "Watch")(health_pb2.HealthCheckRequest(service="")))
        assert (await anext(watch)).status == SERVING
        draining = asyncio.create_task(opened.drain())
        assert (await anext(watch)).status == NOT_SERVING
        await draining


async def test_reflection_describes_the_services(master):
    def ask(address):
        with grpc.insecure_channel(address) as channel:
            database = ProtoReflectionDescriptorDatabase(channel)
            names = set(database.get_services())
            file = database.FindFileContainingSymbol(SERVICE)
            return names, {message.name for message in file.message_type}

    async with master() as opened:
        names, messages = await asyncio.to_thread(ask, opened.address)
    assert names >= {SERVICE, "grpc.health.v1.Health"}
    assert {"PredictRequest", "PredictReply"} <= messages


async def test_a_client_of_another_grpc_stack_is_served_too(master):
    async with master() as opened, Worker(opened).joined():
        host, _, port = opened.address.partition(":")
        channel = Channel(host, int(port))
        try:
            checked = UnaryUnaryMethod(
                channel,
                "/grpc.health.v1.Health/Check",
                health_pb2.HealthCheckRequest,
                health_pb2.HealthCheckResponse,
            )
            predict = UnaryUnaryMethod(
                channel, f"/{SERVICE}/Predict", pb.PredictRequest, pb.PredictReply
            )
            status = None
            while status != SERVING:
                try:
                    status = (await checked(health_pb2.HealthCheckRequest(service="toy"))).status
                except GRPCError:
                    await asyncio.sleep(0.01)
            spec = pb.ServableSpec(name="toy", method_name="predict")
            reply = await predict(pb.PredictRequest(servable_spec=spec))
            assert reply.servable_spec.name == "toy"
        finally:
            channel.close()
