"""TLS on both wires: who is let in, who is turned away and how."""

import asyncio
import shutil
import ssl
import subprocess
import sys

import grpc
import pytest
import uvloop
from cryptography.hazmat.primitives import serialization
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.config import Configuration
from structlog.testing import capture_logs

from mindspore_serving.client import Client, SSLConfig
from services.agent.settings import AgentSettings
from services.master.app import open_master
from services.master.settings import MasterSettings
from shared.deadline import Deadline
from shared.errors import ServingError, Unavailable
from shared.settings import SettingsError, read
from shared.wire.grpcio import GrpcioWire
from shared.wire.http2.limits import Limits
from shared.wire.interface import Routes
from shared.wire.mutual import between_services
from shared.wire.native import NativeWire
from shared.wire.tls import (
    ClientTls,
    PeerTls,
    ServerTls,
    TlsFault,
    client_context,
    server_context,
)
from tests.support.certificates import make_certificates

ECHO, TALK = "/test.Service/Echo", "/test.Service/Talk"
BIG = bytes(range(256)) * 12_000
WIRES = [GrpcioWire, NativeWire]


async def echo(context, message):
    return message


async def talk(context, stream):
    async for message in stream:
        await stream.send(message.upper())


ROUTES = Routes({ECHO: echo}, {TALK: talk})


def soon(seconds=20.0):
    return Deadline.after(seconds, now=asyncio.get_running_loop().time())


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("theirs"))


@pytest.fixture(params=WIRES, ids=lambda wire: wire.__name__)
def serving(request):
    return request.param()


@pytest.fixture(params=WIRES, ids=lambda wire: wire.__name__)
def calling(request):
    return request.param()


async def test_calls_and_streams_travel_over_tls(serving, calling, ours):
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server,
        calling.connect(server.addresses[0], tls=ours.client) as channel,
    ):
        for message in (b"", b"hello", BIG):
            assert await channel.call(ECHO, message, deadline=soon()) == message
        async with channel.stream(TALK) as stream:
            await stream.send(b"one")
            assert await anext(aiter(stream)) == b"ONE"


async def test_a_client_must_show_a_certificate_where_one_is_wanted(serving, calling, ours, theirs):
    strangers = [ours.client, ClientTls(ours.ca, theirs.client_certificate, theirs.client_key)]
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.picky_server) as server,
    ):
        address = server.addresses[0]
        async with calling.connect(address, tls=ours.named_client) as channel:
            assert await channel.call(ECHO, b"hello", deadline=soon()) == b"hello"
        for stranger in strangers:
            async with calling.connect(address, tls=stranger) as channel:
                with pytest.raises(ServingError):
                    await channel.call(ECHO, b"hello", deadline=soon(3))


async def test_a_server_of_another_authority_is_not_believed(serving, calling, ours, theirs):
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=theirs.server) as server,
        calling.connect(server.addresses[0], tls=ours.client) as channel,
    ):
        with pytest.raises(ServingError, match=r"(?i)certificate|connect"):
            await channel.call(ECHO, b"secret", deadline=soon(3))


async def test_the_name_in_the_certificate_must_be_the_one_called(serving, calling, ours):
    wrong = ClientTls(ours.ca, server_name="elsewhere.example")
    right = ClientTls(ours.ca, server_name="localhost")
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server,
    ):
        async with calling.connect(server.addresses[0], tls=right) as channel:
            assert await channel.call(ECHO, b"hello", deadline=soon()) == b"hello"
        async with calling.connect(server.addresses[0], tls=wrong) as channel:
            with pytest.raises(ServingError):
                await channel.call(ECHO, b"secret", deadline=soon(3))


async def test_plain_text_on_a_tls_port_and_tls_on_a_plain_port_fail_soon(serving, calling, ours):
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as safe,
        serving.serve(ROUTES, ["127.0.0.1:0"]) as plain,
    ):
        for address, tls in ((safe.addresses[0], None), (plain.addresses[0], ours.client)):
            async with calling.connect(address, tls=tls) as channel:
                with pytest.raises(ServingError):
                    await channel.call(ECHO, b"hello", deadline=soon(3))
        # And those who do it right do not notice.
        async with calling.connect(safe.addresses[0], tls=ours.client) as channel:
            assert await channel.call(ECHO, b"hello", deadline=soon()) == b"hello"


async def test_tls_over_a_unix_socket(serving, calling, ours, tmp_path):
    address = f"unix:{tmp_path}/socket"
    tls = ClientTls(ours.ca, server_name="localhost")
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, [address], tls=ours.server),
        calling.connect(address, tls=tls) as channel,
    ):
        assert await channel.call(ECHO, b"hello", deadline=soon()) == b"hello"


async def test_grpcs_own_client_and_grpclibs_are_served(serving, ours):
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server,
    ):
        address = server.addresses[0]
        secret = grpc.ssl_channel_credentials(ours.ca.read_bytes())
        async with grpc.aio.secure_channel(address, secret) as channel:
            assert await channel.unary_unary(ECHO)(BIG, timeout=10) == BIG
        trusted = ssl.create_default_context(cafile=ours.ca)
        trusted.set_alpn_protocols(["h2"])
        host, _, port = address.rpartition(":")
        config = Configuration(ssl_target_name_override="localhost")
        async with Channel(host, int(port), ssl=trusted, config=config) as channel:
            call = UnaryUnaryMethod(channel, ECHO, _Raw, _Raw)
            assert (await call(_Raw(b"hello"), timeout=10)).content == b"hello"


class _Raw:
    """Bytes, for a library that wants messages."""

    DESCRIPTOR = None

    def __init__(self, content=b""):
        self.content = content

    def SerializeToString(self):  # noqa: N802 (as protobuf names it)
        return self.content

    @classmethod
    def FromString(cls, content):  # noqa: N802 (as protobuf names it)
        return cls(content)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_gets_an_answer_over_tls_but_none_without_http2(serving, ours, tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\5hello")
    async with serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server:
        url = f"https://{server.addresses[0]}{ECHO}"
        command = ["curl", "-s", "-D", "-", "-m", "10", "--cacert", str(ours.ca), url]
        call = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        call += ["--data-binary", f"@{body}"]
        said = await run([*command, "--http2", *call])
        assert said.startswith(b"HTTP/2 200")
        assert b"\0\0\0\0\5hello" in said
        assert b"grpc-status: 0" in said
        assert not (await run([*command, "--http1.1", *call])).startswith(b"HTTP/1.1 200")


def on_asyncio_and_uvloop(test):
    """Services run on uvloop, whose TLS is its own."""

    def run(ours, run_in):
        run_in(test(ours))

    run.__doc__ = test.__doc__
    return pytest.mark.parametrize("run_in", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])(
        run
    )


@on_asyncio_and_uvloop
async def test_the_native_wire_keeps_its_promises_on_both_loops(ours):
    wire = NativeWire()
    async with (
        asyncio.timeout(30),
        wire.serve(ROUTES, ["127.0.0.1:0"], tls=ours.picky_server) as server,
    ):
        address = server.addresses[0]
        async with wire.connect(address, tls=ours.named_client) as channel:
            for message in (b"", b"hello", BIG):
                assert await channel.call(ECHO, message, deadline=soon()) == message
            many = await asyncio.gather(
                *(channel.call(ECHO, b"%d" % n, deadline=soon()) for n in range(300))
            )
            assert many == [b"%d" % n for n in range(300)]
            async with channel.stream(TALK) as stream:
                answers = aiter(stream)
                for message in (b"one", BIG):
                    await stream.send(message)
                    assert await anext(answers) == message.upper()
        for tls in (None, ours.client):
            async with wire.connect(address, tls=tls) as channel:
                with pytest.raises(ServingError):
                    await channel.call(ECHO, b"hello", deadline=soon(3))


@on_asyncio_and_uvloop
async def test_clients_that_stall_in_the_handshake_are_ended(ours):
    await asyncio.gather(stall(ours, b""), stall(ours, b"\x16\x03\x01\x02\x00\x01\x00"))


async def stall(ours, said):
    limits = Limits(handshake_seconds=0.3)
    async with (
        asyncio.timeout(10),
        NativeWire(limits).serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server,
    ):
        host, _, port = server.addresses[0].rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        assert await reader.read() == b""
        writer.close()


async def test_what_is_not_http2_inside_tls_is_turned_away(ours):
    async with (
        asyncio.timeout(10),
        NativeWire().serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server,
    ):
        host, _, port = server.addresses[0].rpartition(":")
        trusted = ssl.create_default_context(cafile=ours.ca)
        with capture_logs() as logs:
            reader, writer = await asyncio.open_connection(host, int(port), ssl=trusted)
            assert await reader.read() == b""
            writer.close()
        assert logs[0]["reason"] == "no HTTP/2 over TLS"


async def test_a_server_that_is_not_http2_inside_tls_is_not_called(ours):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.certificate, ours.key)

    async def wait(reader, writer):
        await reader.read()
        writer.close()

    listening = await asyncio.start_server(wait, "127.0.0.1", 0, ssl=context)
    address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with (
        asyncio.timeout(10),
        listening,
        NativeWire().connect(address, tls=ours.client) as channel,
    ):
        with pytest.raises(ServingError, match="speaks no HTTP/2"):
            await channel.call(ECHO, b"", deadline=soon())


async def test_old_tls_is_refused(serving, ours):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(ours.ca)
    old.set_alpn_protocols(["h2"])
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with (
        asyncio.timeout(10),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.server) as server,
    ):
        host, _, port = server.addresses[0].rpartition(":")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection(host, int(port), ssl=old)


def encrypted(key, path):
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"password")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
    path.write_bytes(loaded.private_bytes(*form))
    return path


async def test_files_that_cannot_be_used_are_named_at_the_start(serving, ours, theirs, tmp_path):
    missing, empty = tmp_path / "missing.pem", tmp_path / "empty.pem"
    empty.write_bytes(b"")
    secret = encrypted(ours.key, tmp_path / "secret.key")
    unreadable = tmp_path  # root may read every file, but nobody a folder
    for tls, reason in (
        (ServerTls(missing, ours.key), "missing.pem cannot be read: No such file"),
        (ServerTls(ours.certificate, missing), "missing.pem cannot be read: No such file"),
        (ServerTls(ours.certificate, unreadable), "cannot be read: Is a directory"),
        (ServerTls(empty, ours.key), "empty.pem holds no certificate"),
        (ServerTls(ours.key, ours.certificate), "server.key holds no certificate"),
        (ServerTls(ours.certificate, theirs.key), "server.key does not belong to certificate"),
        (ServerTls(ours.certificate, secret), "secret.key is encrypted"),
        (ServerTls(ours.certificate, ours.key, missing), "missing.pem cannot be read"),
        (ServerTls(ours.certificate, ours.key, empty), "empty.pem holds no authorities"),
    ):
        with pytest.raises(TlsFault, match=reason):
            async with serving.serve(ROUTES, ["127.0.0.1:0"], tls=tls):
                pass


def test_a_client_with_half_an_identity_is_refused(ours):
    with pytest.raises(TlsFault, match="come together"):
        client_context(ClientTls(ours.ca, ours.client_certificate))


def test_only_ciphers_that_http2_allows_are_offered(ours):
    names = [cipher["name"] for cipher in server_context(ours.server).get_ciphers()]
    assert names
    assert all("GCM" in name or "POLY1305" in name for name in names)
    assert all(name.startswith(("TLS_", "ECDHE")) for name in names)


@pytest.mark.parametrize("wire", ["grpcio", "native"])
async def test_the_masters_front_door_takes_clients_over_tls(wire, ours):
    settings = MasterSettings(
        listen="127.0.0.1:0",
        membership_address="127.0.0.1:0",
        wire=wire,
        tls_certificate=ours.certificate,
        tls_key=ours.key,
        tls_client_ca=ours.ca,
    )
    me = SSLConfig(str(ours.client_certificate), str(ours.client_key), str(ours.ca))
    async with asyncio.timeout(60), open_master(settings) as master:
        with Client(master.address, "toy", "predict", ssl_config=me) as client:
            said = await asyncio.to_thread(client.infer, {"x": 1})
        assert "toy" in said["error"]
        assert "no worker has joined yet" in said["error"]
        asked = ["-m", "shared.wire.check", master.address]
        assert await run([sys.executable, *asked]) == b""
        shown = ["--tls-certificate", str(ours.client_certificate), "--tls-key"]
        shown += [str(ours.client_key), "--tls-ca", str(ours.ca)]
        assert await run([sys.executable, *asked, *shown]) == b"SERVING\n"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--tls-certificate", "a.pem"], "tls_certificate and tls_key come together"),
        (["--tls-client-ca", "a.pem"], "tls_client_ca is of no use without"),
        (["--tls-certificate", "a.pem", "--tls-key", "b.pem"], "TLS file a.pem cannot be read"),
    ],
)
def test_a_master_says_why_it_cannot_start(options, reason, tmp_path):
    command = [sys.executable, "-m", "services.master", "--listen", "127.0.0.1:0", *options]
    ended = subprocess.run(
        [*command, "--membership-address", "127.0.0.1:0"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode
    assert reason in ended.stderr
    assert "Traceback" not in ended.stderr


async def run(command):
    finished = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, timeout=30, check=False
    )
    return finished.stdout


def test_a_health_probe_names_the_file_it_cannot_use():
    command = [sys.executable, "-m", "shared.wire.check", "127.0.0.1:1", "--tls-ca", "no.pem"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert (
        ended.stderr == "127.0.0.1:1: TLS file no.pem cannot be read: No such file or directory\n"
    )


async def test_a_caller_hears_which_side_speaks_no_tls_or_is_not_believed(serving, ours, theirs):
    stranger = ClientTls(ours.ca, theirs.client_certificate, theirs.client_key)
    doubter = ClientTls(theirs.ca, ours.client_certificate, ours.client_key)
    async with (
        asyncio.timeout(30),
        serving.serve(ROUTES, ["127.0.0.1:0"], tls=ours.picky_server) as safe,
        serving.serve(ROUTES, ["127.0.0.1:0"]) as plain,
    ):
        for server, tls, reason in (
            (safe, None, "before it said anything: it may speak TLS"),
            (plain, ours.named_client, "failed to connect: the peer speaks no TLS"),
            (safe, stranger, "it may want another certificate than this side has"),
            (safe, doubter, "the peer's certificate is not believed: .*"),
        ):
            async with NativeWire().connect(server.addresses[0], tls=tls) as channel:
                with pytest.raises(ServingError, match=reason):
                    await channel.call(ECHO, b"hello", deadline=soon(3))


async def test_services_among_themselves_show_certificates_on_every_connection(
    serving, calling, ours, theirs, tmp_path
):
    peers = PeerTls(ours.certificate, ours.key, ours.ca, "localhost")
    strangers = PeerTls(theirs.certificate, theirs.key, ours.ca, "localhost")
    addresses = ["127.0.0.1:0", f"unix:{tmp_path}/socket"]
    async with (
        asyncio.timeout(30),
        between_services(serving, peers).serve(ROUTES, addresses) as server,
    ):
        for address in server.addresses:
            async with between_services(calling, peers).connect(address) as channel:
                assert await channel.call(ECHO, b"hello", deadline=soon()) == b"hello"
            for outsider in (calling, between_services(calling, strangers)):
                async with outsider.connect(address) as channel:
                    with pytest.raises(ServingError):
                        await channel.call(ECHO, b"hello", deadline=soon(3))


async def test_files_that_are_gone_when_a_peer_is_called_again_are_a_reason_not_an_end(
    calling, ours, tmp_path
):
    gone = PeerTls(tmp_path / "gone.pem", ours.key, ours.ca)
    with pytest.raises(Unavailable, match=r"gone\.pem cannot be read"):
        async with between_services(calling, gone).connect("127.0.0.1:1"):
            pass


def test_without_certificates_services_speak_plain_text(serving):
    assert between_services(serving, None) is serving


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--peer-tls-key", "a.key"], "peer_tls_certificate, peer_tls_key and peer_tls_ca come"),
        (["--peer-tls-name", "us"], "peer_tls_name is of no use without"),
    ],
)
def test_half_an_identity_among_services_is_refused(options, reason):
    with pytest.raises(SettingsError, match=reason):
        read(AgentSettings, options)
