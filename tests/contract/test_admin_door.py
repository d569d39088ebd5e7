"""A master's operators' door, before workers that answer as a test says."""

import asyncio
import ssl
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from protos.serving.v1 import labels_pb2, repository_pb2
from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.errors import LoadFailed
from shared.membership import Hello, Offer, OfferedMethod, Offers
from shared.ports import free_port
from shared.repository import VersionState, VersionStatus
from shared.servable import ServableVersion
from shared.wire.check import serves
from shared.wire.exchange_server import serve_exchange
from shared.wire.interface import Routes
from shared.wire.membership import Membership
from shared.wire.native import NativeWire
from shared.wire.repository_codec import (
    INDEX_PATH,
    LOAD_PATH,
    UNLOAD_PATH,
    read_index_request,
    read_order,
    write_inventory,
)
from tests.support.certificates import make_certificates
from tests.support.cluster import until
from tests.support.http1 import Http

REPOSITORY, LABELS = "mindserve.serving.v1.Repository", "mindserve.serving.v1.Labels"


class Worker:
    """A member with versions of ``toy`` in its repository."""

    def __init__(self, name, *versions, failure=None):
        self.name = name
        self.versions = versions
        self.failure = failure
        self.orders = []

    async def _index(self, context, message):
        asked = read_index_request(message)
        return write_inventory(self._statuses(VersionState.READY) if asked != "other" else [])

    def _statuses(self, state):
        return [VersionStatus(ServableVersion("toy", v), state) for v in self.versions]

    async def _order(self, context, message):
        self.orders.append(read_order(message))
        if self.failure is not None:
            raise self.failure
        return write_inventory(self._statuses(VersionState.READY))

    async def _exchange(self, context, stream):
        await serve_exchange(stream, self._order, max_outstanding=10)

    @asynccontextmanager
    async def joined(self, master):
        routes = Routes(
            unary={INDEX_PATH: self._index, LOAD_PATH: self._order, UNLOAD_PATH: self._order},
            streams={"/mindserve.serving.v1.Dispatch/Exchange": self._exchange},
        )
        offered = [
            Offer(ServableVersion("toy", v), {"predict": OfferedMethod()}, 10)
            for v in self.versions
        ]
        wire = NativeWire()
        async with wire.serve(routes, ["127.0.0.1:0"]) as server:
            self.address = server.addresses[0]
            membership = Membership(
                wire, lambda: Hello(self.name, self.address), lambda: Offers(tuple(offered)), int,
                print,
            )  # fmt: skip
            task = asyncio.create_task(membership.keep_joined(master.membership_address))
            try:
                yield self
            finally:
                task.cancel()
                await asyncio.wait([task])


@asynccontextmanager
async def operated(*workers):
    """A channel to the operators' door of a master that knows ``workers``."""
    address = f"127.0.0.1:{free_port()}"
    settings = MasterSettings(
        listen="127.0.0.1:0", membership_address="127.0.0.1:0", admin_address=address
    )
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        master = await stack.enter_async_context(open_master(settings))
        for worker in workers:
            await stack.enter_async_context(worker.joined(master))
        await until(lambda: serves(master.address, "toy"), what="the workers to be known")
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        await until(lambda: knows(channel, workers), what="every worker to be known")
        yield channel


async def knows(channel, workers):
    index = await ask(channel, "Index", repository_pb2.IndexRequest())
    return {each.worker for each in index.versions} == {each.address for each in workers}


async def ask(channel, method, request):
    call = channel.unary_unary(
        f"/{REPOSITORY}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=repository_pb2.RepositoryReply.FromString,
    )
    return await call(request)


async def ask_labels(channel, method, request):
    call = channel.unary_unary(
        f"/{LABELS}/{method}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=labels_pb2.LabelsReply.FromString,
    )
    return {each.name: (each.version, each.weight, each.served) for each in (
        await call(request)
    ).labels}  # fmt: skip


async def test_an_order_goes_to_every_worker_that_has_the_version():
    a, b, c = Worker("a", 1, 2), Worker("b", 2), Worker("c", 1)
    async with operated(a, b, c) as channel:
        reply = await ask(channel, "Load", repository_pb2.LoadRequest(servable="toy", version=2))
        assert {each.worker for each in reply.versions} == {a.address, b.address}
        await ask(channel, "Unload", repository_pb2.UnloadRequest(servable="toy"))
    assert [len(each.orders) for each in (a, b, c)] == [2, 2, 1]


async def test_what_failed_at_one_worker_is_named_beside_what_is_done_elsewhere():
    a, b = Worker("a", 1), Worker("b", 1, failure=LoadFailed("out of memory"))
    async with operated(a, b) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ask(channel, "Load", repository_pb2.LoadRequest(servable="toy"))
    assert failed.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failed.value.details() == (
        f"worker {b.address}: out of memory; it is done at 1 other workers"
    )


async def test_what_no_worker_has_is_not_found():
    async with operated(Worker("a", 1)) as channel:
        for request in (
            repository_pb2.LoadRequest(servable="other"),
            repository_pb2.LoadRequest(servable="toy", version=2),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await ask(channel, "Load", request)
            assert failed.value.code() is grpc.StatusCode.NOT_FOUND
            assert "is not in the repository of any worker" in failed.value.details()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await ask(channel, "Load", repository_pb2.LoadRequest(version=2))
        assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_labels_are_set_at_once_and_told_with_whether_they_are_served():
    async with operated(Worker("a", 1, 2)) as channel:
        labels = [
            labels_pb2.Label(name="stable", version=1, weight=95),
            labels_pb2.Label(name="canary", version=3, weight=5),
        ]
        told = {"stable": (1, 95, True), "canary": (3, 5, False)}
        request = labels_pb2.SetLabelsRequest(servable="toy", labels=labels)
        assert await ask_labels(channel, "Set", request) == told
        ask_one = labels_pb2.GetLabelsRequest(servable="toy")
        assert await ask_labels(channel, "Get", ask_one) == told
        request.labels[1].weight = 2_000_000
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask_labels(channel, "Set", request)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await ask_labels(channel, "Get", ask_one) == told
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await ask_labels(channel, "Set", labels_pb2.SetLabelsRequest(servable="other"))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_reflection_describes_the_operators_door():
    def names(channel_address):
        with grpc.insecure_channel(channel_address) as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    address = f"127.0.0.1:{free_port()}"
    settings = MasterSettings(
        listen="127.0.0.1:0", membership_address="127.0.0.1:0", admin_address=address
    )
    async with asyncio.timeout(60), open_master(settings) as master:
        assert await asyncio.to_thread(names, address) >= {REPOSITORY, LABELS}
        # What clients call knows nothing of it.
        assert not await asyncio.to_thread(names, master.address) & {REPOSITORY, LABELS}


def test_without_a_host_the_door_is_on_the_loopback():
    assert MasterSettings(admin_address=":5510").admin_address == "127.0.0.1:5510"
    for address in ("localhost:5510", "[::1]:5510", "127.0.0.2:5510"):
        assert MasterSettings(admin_rest_address=address).admin_rest_address == address
    assert MasterSettings().admin_address == MasterSettings().admin_rest_address == ""


@pytest.mark.parametrize("setting", ["admin_address", "admin_rest_address"])
@pytest.mark.parametrize("address", ["0.0.0.0:5510", "[::]:5510", "192.0.2.1:5510", "host:5510"])
def test_strangers_of_other_hosts_give_no_orders_unless_that_is_said(setting, address):
    files = {"admin_tls_certificate": "server.pem", "admin_tls_key": "server.key"}
    for settings in ({setting: address}, {setting: address, **files}):
        with pytest.raises(ValueError, match="from other hosts could load and unload"):
            MasterSettings(**settings)
    for settings in ({"admin_tls_client_ca": "ca.pem", **files}, {"admin_open": True}):
        assert getattr(MasterSettings(**{setting: address, **settings}), setting) == address


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"admin_tls_key": "a.pem"}, "admin_tls_certificate and admin_tls_key come together"),
        ({"admin_tls_client_ca": "a.pem"}, "admin_tls_client_ca is of no use without"),
        (
            {"admin_tls_certificate": "a", "admin_tls_key": "b"},
            "of no use without admin_address or admin_rest_address",
        ),
    ],
)
def test_files_that_are_of_no_use_are_refused(settings, reason):
    with pytest.raises(ValueError, match=reason):
        MasterSettings(**settings)


async def test_operators_show_certificates_at_both_addresses(tmp_path):
    ours = await asyncio.to_thread(make_certificates, tmp_path)
    grpc_address, rest_address = (f"localhost:{free_port()}" for _ in range(2))
    settings = MasterSettings(
        listen="127.0.0.1:0", membership_address="127.0.0.1:0",
        admin_address=grpc_address, admin_rest_address=rest_address,
        admin_tls_certificate=ours.certificate, admin_tls_key=ours.key,
        admin_tls_client_ca=ours.ca,
    )  # fmt: skip
    root, key, chain = (
        path.read_bytes() for path in (ours.ca, ours.client_key, ours.client_certificate)
    )
    stranger = ssl.create_default_context(cafile=ours.ca)
    known = ssl.create_default_context(cafile=ours.ca)
    known.load_cert_chain(ours.client_certificate, ours.client_key)
    async with asyncio.timeout(60), open_master(settings):
        for credentials, is_known in (
            (grpc.ssl_channel_credentials(root), False),
            (grpc.ssl_channel_credentials(root, key, chain), True),
        ):
            async with grpc.aio.secure_channel(grpc_address, credentials) as channel:
                try:
                    index = await ask(channel, "Index", repository_pb2.IndexRequest())
                    assert (is_known, list(index.versions)) == (True, [])
                except grpc.aio.AioRpcError as refused:
                    assert (is_known, refused.code()) == (False, grpc.StatusCode.UNAVAILABLE)
        with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
            http = await Http.connect(rest_address, stranger)
            await http.ask("GET", "/servables")
        http = await Http.connect(rest_address, known)
        assert (await http.ask("GET", "/servables")).status == 200
        http.hang_up()
