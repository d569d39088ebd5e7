"""Health and reflection, asked by grpcio's own clients and by grpclib."""

import asyncio
import functools
from contextlib import asynccontextmanager, suppress

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.exceptions import GRPCError

from mindspore_serving.client import AsyncClient, Client
from protos.ms_service import ms_service_pb2 as pb
from protos.serving.v1 import dispatch_pb2
from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.membership import Hello, Offer, OfferedMethod, Offers
from shared.servable import ServableVersion
from shared.wire.exchange_server import serve_exchange
from shared.wire.grpcio import GrpcioWire
from shared.wire.interface import Routes
from shared.wire.membership import Membership
from tests.support.cluster import until

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
async def a_master(wire, **more):
    settings = MasterSettings(
        listen="127.0.0.1:0", membership_address="127.0.0.1:0", wire=wire, **more
    )
    async with asyncio.timeout(60), open_master(settings) as opened:
        yield opened


class Worker:
    """A member that answers every request with its own instances."""

    def __init__(self, master):
        self._master = master
        self.heads = []
        self.seconds_left = 0.0
        self.offers = Offers((Offer(ServableVersion("toy", 1), {"predict": OfferedMethod()}, 10),))

    async def _answer(self, incoming):
        self.heads.append(dispatch_pb2.DispatchHead.FromString(incoming.head))
        self.seconds_left = incoming.deadline.remaining(asyncio.get_running_loop().time())
        return pb.PredictReply(
            servable_spec=pb.ServableSpec(name="toy"),
            instances=pb.PredictRequest.FromString(incoming.payload).instances,
        ).SerializeToString()

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

            async def is_serving():
                with suppress(GRPCError):
                    answer = await checked(health_pb2.HealthCheckRequest(service="toy"))
                    return answer.status == SERVING

            await until(is_serving, what="the worker to be known")
            spec = pb.ServableSpec(name="toy", method_name="predict")
            reply = await predict(pb.PredictRequest(servable_spec=spec))
            assert reply.servable_spec.name == "toy"
        finally:
            channel.close()


@asynccontextmanager
async def ready(opened):
    """A worker, and a channel to its master that knows it."""
    async with grpc.aio.insecure_channel(opened.address) as channel:
        async with Worker(opened).joined() as worker:
            watch = health(channel, "Watch")(health_pb2.HealthCheckRequest(service="toy"))
            async for state in watch:
                if state.status == SERVING:
                    break
            watch.cancel()
            yield worker, channel


async def test_the_clients_say_their_priority_and_their_time(master):
    async with master() as opened, ready(opened) as (worker, _):

        def by_hand():
            with Client(opened.address, "toy", "predict") as client:
                client.infer({"x": 1})
                client.infer({"x": 1}, 20.0, priority=2)
                client.infer_async({"x": 1}, priority=3).result(10)

        await asyncio.to_thread(by_hand)
        async with AsyncClient(opened.address, "toy", "predict") as client:
            await client.infer({"x": 1}, priority=1)
    said = [(head.priority, head.default_timeout) for head in worker.heads]
    assert said == [(0, True), (2, False), (3, True), (1, True)]


@pytest.mark.parametrize("priority", ["-1", "high", "1000"])
async def test_what_is_no_priority_is_refused(master, priority):
    async with master() as opened, ready(opened) as (worker, channel):
        call = channel.unary_unary(
            f"/{SERVICE}/Predict",
            request_serializer=pb.PredictRequest.SerializeToString,
            response_deserializer=pb.PredictReply.FromString,
        )
        spec = pb.ServableSpec(name="toy", method_name="predict")
        reply = await call(
            pb.PredictRequest(servable_spec=spec), metadata=[("x-request-priority", priority)]
        )
        assert reply.servable_spec == spec
        (error,) = reply.error_msg
        assert error.error_msg.decode() == (
            "x-request-priority: expected a level from 1 (the highest), or 0 for the default,"
            f" got '{priority}'"
        )
        assert worker.heads == []


async def test_no_client_gets_more_time_than_the_master_allows(master):
    async with master(max_request_timeout_seconds=3) as opened, ready(opened) as (worker, _):
        async with AsyncClient(opened.address, "toy", "predict") as client:
            for timeout, most in ((None, 3), (60.0, 3), (2.0, 2)):
                await client.infer({"x": 1}, timeout)
                assert most - 1 < worker.seconds_left < most + 0.5
