"""Members and registrars over a real wire."""

import asyncio
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from protos.serving.v1 import membership_pb2 as pb
from shared import membership as m
from shared.errors import InvalidRequest, ServingError, Unavailable
from shared.servable import DeviceOptions, LanguageGraphs, ModelOptions, ServableVersion
from shared.tensors import ElementType, TensorSpec
from shared.wire.grpcio import GrpcioWire
from shared.wire.interface import Routes
from shared.wire.membership import JOIN_PATH, Membership, Registrar
from shared.wire.membership_codec import (
    read_notice,
    read_report,
    write_notice,
    write_report,
)
from shared.wire.native import NativeWire
from tests.support.cluster import until

WHAT = ServableVersion("add", 3)
NOTHING = m.Offers()


REFUSED = InvalidRequest("Invalid rank id 9, rank size 8")


class Witness:
    """An observer that remembers, and lets a test wait for what it waits for."""

    def __init__(self, first=None):
        self.first = first
        self.events = []
        self._news = asyncio.Event()

    def _note(self, *event):
        self.events.append(event)
        self._news.set()

    def joined(self, hello):
        self._note("joined", hello.member_id)
        if isinstance(self.first, ServingError):
            raise self.first
        return self.first

    def reported(self, hello, report):
        self._note("reported", hello.member_id, report)

    def left(self, hello, reason):
        self._note("left", hello.member_id, reason)

    async def until(self, *event):
        async with asyncio.timeout(10):
            while not any(seen[: len(event)] == event for seen in self.events):
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def registrar(witness, address="127.0.0.1:0", lease_seconds=10.0, wire=GrpcioWire):
    registrar = Registrar(witness, lease_seconds)
    async with wire().serve(registrar.routes, [address]) as server:
        expelling = asyncio.create_task(registrar.expel_silent())
        try:
            yield registrar, server.addresses[0]
        finally:
            expelling.cancel()


@asynccontextmanager
async def member(
    address,
    *,
    offers=NOTHING,
    noticed=lambda notice: None,
    load=lambda: 0,
    name="one",
    state=None,
    wire=GrpcioWire,
):
    holder = [offers]
    membership = Membership(
        wire(),
        hello=lambda: m.Hello(name, ":7000"),
        state=state or (lambda: holder[0]),
        load=load,
        noticed=noticed,
    )
    keeping = asyncio.create_task(membership.keep_joined(address))
    try:
        yield membership, holder
    finally:
        keeping.cancel()
        await asyncio.wait([keeping])


async def test_a_member_joins_reports_and_leaves_with_its_connection():
    witness = Witness()
    async with registrar(witness) as (_, address):
        async with member(address, offers=m.Offers(draining=True)):
            await witness.until("reported", "one", m.Offers(draining=True))
        await witness.until("left", "one")


async def test_news_reaches_the_registrar_at_once():
    witness = Witness()
    async with registrar(witness, lease_seconds=1000) as (_, address):
        async with member(address) as (membership, state):
            await witness.until("reported", "one", m.Offers())
            state[0] = m.Offers((m.Offer(WHAT, {"add": m.OfferedMethod()}, 5),))
            membership.changed()
            await witness.until("reported", "one", state[0])


async def test_a_member_knows_when_its_news_were_sent():
    witness, sent = Witness(), []

    def state():
        sent.append(len(sent))
        return NOTHING

    async with registrar(witness, lease_seconds=1000) as (_, address):
        async with member(address, state=state) as (membership, _):
            await witness.until("reported", "one", NOTHING)
            for _ in range(5):
                before = len(sent)
                membership.changed()
                async with asyncio.timeout(10):
                    await membership.told()
                assert len(sent) > before


async def test_a_member_hears_notices():
    heard = asyncio.Queue()
    assignment = m.Assignment((m.Assigned(WHAT, ()),))
    witness = Witness(first=assignment)
    async with registrar(witness) as (registrar_, address):
        async with member(address, noticed=heard.put_nowait), asyncio.timeout(10):
            assert await heard.get() == assignment
            registrar_.notify("one", m.Assignment())
            assert await heard.get() == m.Assignment()


@pytest.mark.parametrize("wire", [GrpcioWire, NativeWire])
async def test_a_member_that_is_refused_hears_why(wire):
    witness = Witness(first=REFUSED)
    async with registrar(witness, wire=wire) as (_, address):
        with capture_logs() as logged:
            async with member(address, wire=wire), asyncio.timeout(10):
                await witness.until("left", "one", REFUSED.message)
                await until(lambda: reasons(logged), what="the refusal")
        assert reasons(logged) == [REFUSED.message]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("wire", [GrpcioWire, NativeWire])
async def test_a_registrar_that_is_closed_ends_memberships_and_its_server_need_not_wait(wire):
    witness = Witness()
    registrar_ = Registrar(witness, 10.0)
    async with wire().serve(registrar_.routes, ["127.0.0.1:0"]) as server:
        with capture_logs() as logged:
            async with member(server.addresses[0], wire=wire):
                await witness.until("reported", "one")
                await registrar_.close()
                assert witness.events[-1] == ("left", "one", "the registrar was closed")
                # It comes back, and is told.
                await until(lambda: len(reasons(logged)) == 2, what="two reasons")
                assert reasons(logged)[1] == "the registrar takes no more members"
                await server.close(60)
        assert [each for each in witness.events if each[0] == "joined"] == [("joined", "one")]


def reasons(logged):
    return [each["reason"] for each in logged if each["event"] == "not joined"]


@pytest.mark.parametrize("wire", [GrpcioWire, NativeWire])
async def test_an_expelled_member_hears_what_it_was_told_before_and_why_and_joins_again(wire):
    heard = []
    news = [m.Assignment((m.Assigned(ServableVersion("add", n), ()),)) for n in range(20)]
    witness = Witness()
    async with registrar(witness, wire=wire) as (registrar_, address):
        with capture_logs() as logged:
            async with member(address, noticed=heard.append, wire=wire), asyncio.timeout(10):
                await witness.until("reported", "one")
                for each in news:
                    registrar_.notify("one", each)
                registrar_.expel("one", Unavailable("it is unloaded"))
                registrar_.expel("nobody", Unavailable("it is unloaded"))
                await witness.until("left", "one", "it is unloaded")
                witness.events.clear()
                await witness.until("joined", "one")
        assert heard == news
        assert reasons(logged)[0] == "it is unloaded"


async def test_a_member_that_reports_stays_longer_than_its_lease():
    witness = Witness()
    async with registrar(witness, lease_seconds=0.3) as (_, address):
        heartbeats = itertools.count(1)
        outlived = asyncio.Event()

        def load():
            # Each is a whole period after the one before: so many of them are three leases.
            if next(heartbeats) > 3 * m.REPORTS_PER_LEASE:
                outlived.set()
            return 0

        async with member(address, load=load), asyncio.timeout(60):
            await outlived.wait()
            assert [event for event in witness.events if event[0] != "reported"] == [
                ("joined", "one")
            ]


async def test_a_silent_member_is_gone_after_its_lease():
    witness = Witness()
    async with (
        registrar(witness, lease_seconds=0.3) as (_, address),
        GrpcioWire().connect(address) as channel,
        channel.stream(JOIN_PATH) as stream,
    ):
        await stream.send(write_report(m.Hello("mute", "127.0.0.1:1")))
        await witness.until("left", "mute", "was silent for a whole lease")


async def test_a_registrar_that_was_held_up_itself_blames_nobody():
    witness = Witness()
    async with registrar(witness, lease_seconds=0.5) as (_, address):
        async with member(address) as (membership, state):
            await witness.until("reported", "one", NOTHING)
            time.sleep(1.0)  # the whole loop stands still, longer than the lease
            state[0] = m.Offers(draining=True)
            membership.changed()
            await witness.until("reported", "one", state[0])
            assert not [event for event in witness.events if event[0] == "left"]


async def test_members_come_back_to_a_registrar_that_restarted():
    first, second = Witness(), Witness()
    async with registrar(first) as (_, address):
        keeper = member(address)
        await keeper.__aenter__()
        await first.until("joined", "one")
    async with registrar(second, address):
        await second.until("reported", "one", m.Offers())
        await keeper.__aexit__(None, None, None)


async def test_a_stream_that_does_not_say_hello_is_refused():
    witness = Witness()
    async with (
        registrar(witness) as (_, address),
        GrpcioWire().connect(address) as channel,
        channel.stream(JOIN_PATH) as stream,
        asyncio.timeout(10),
    ):
        await stream.send(b"\xff\xff")
        try:
            async for _ in stream:
                pass
        except Exception as failure:
            assert "report" in str(failure)
    assert witness.events == []


def test_an_address_without_host_is_the_one_the_registrar_sees():
    hello = read_report(write_report(m.Hello("one", ":7000")), peer_host="10.1.2.3")
    assert hello == m.Hello("one", "10.1.2.3:7000")


def test_a_role_that_nobody_knows_is_refused():
    hello = pb.Hello(member_id="a", address="h:1", generation_role="prefil")
    with pytest.raises(InvalidRequest, match="both, prefill, decode, got 'prefil'"):
        read_report(pb.Report(hello=hello).SerializeToString(), peer_host="")
    hello.generation_role = ""
    said = read_report(pb.Report(hello=hello).SerializeToString(), peer_host="")
    assert said == m.Hello("a", "h:1", generation_role=m.GenerationRole.BOTH)


def test_reports_and_notices_survive_the_wire():
    spec = TensorSpec("x", ElementType.FLOAT32, (-1, 2))
    signature = m.ModelSignature("add", (m.SubgraphSignature((spec,), (spec, spec)),), 8)
    for report in (
        m.Hello("a", "h:1", "unix:/x", m.Device("CPU", 3)),
        m.Hello("a", "h:1", generation_role=m.GenerationRole.PREFILL),
        m.Heartbeat(7),
        m.Offers(
            (m.Offer(WHAT, {"a": m.OfferedMethod(), "b": m.OfferedMethod()}, 5),), draining=True
        ),
        m.Holdings((m.Holding(WHAT, "ready", "done", (signature,)), m.Holding(WHAT, "failed"))),
    ):
        assert read_report(write_report(report), peer_host="") == report
    options = ModelOptions(
        thread_num=2,
        thread_affinity_core_list=(0, 3),
        enable_parallel=False,
        devices=(DeviceOptions("ascend", (("input_format", "ND"), ("output_type", "FP16"))),),
        config_file="/lite.cfg",
        cores=2,
    )
    plain = m.ModelFiles("k", "mindir", ("/a", "/b"), True, (1,), 32)
    files = replace(plain, options=options)
    graphs = LanguageGraphs(2, 3, True, True, 8, 100, "/tokenizer.json", True, 1)
    language = replace(plain, language=graphs)
    for notice in (
        m.Welcome("id", 10.0),
        m.Assignment((m.Assigned(WHAT, (plain, files, language)),)),
    ):
        assert read_notice(write_notice(notice)) == notice


def test_routes_of_a_registrar_are_streams_only():
    assert Registrar(Witness(), 1.0).routes.unary == Routes().unary
