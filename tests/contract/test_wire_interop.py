"""Each wire speaks gRPC: with the other one, with grpcio's features, with other programs."""

import asyncio
import json
import shutil
import subprocess

import grpc
import pytest

from shared.deadline import Deadline
from shared.errors import NotServed
from shared.wire.grpcio import GrpcioWire
from shared.wire.http2.grpc_messages import compress
from shared.wire.interface import Routes
from shared.wire.native import NativeWire

ECHO, TALK, FAIL = "/test.Service/Echo", "/test.Service/Talk", "/test.Service/Fail"
BIG = bytes(range(256)) * 12_000  # 3 MB: beyond every window


async def echo(context, message):
    return message


async def talk(context, stream):
    async for message in stream:
        await stream.send(message.upper())


async def fail(context, message):
    raise NotServed("nothing ünder that name")


ROUTES = Routes({ECHO: echo, FAIL: fail}, {TALK: talk})
MIXED = [(GrpcioWire, NativeWire), (NativeWire, GrpcioWire), (NativeWire, NativeWire)]


def soon():
    return Deadline.after(20, now=asyncio.get_running_loop().time())


@pytest.mark.parametrize(
    ("serving", "calling"), MIXED, ids=[f"{s.__name__}-{c.__name__}" for s, c in MIXED]
)
async def test_one_wires_client_is_served_by_the_others_server(serving, calling):
    async with (
        asyncio.timeout(30),
        serving().serve(ROUTES, ["127.0.0.1:0"]) as server,
        calling().connect(server.addresses[0]) as channel,
    ):
        for message in (b"", b"hello", BIG):
            assert await channel.call(ECHO, message, deadline=soon()) == message
        with pytest.raises(NotServed, match="nothing ünder that name"):
            await channel.call(FAIL, b"", deadline=soon())
        async with channel.stream(TALK) as stream:
            answers = aiter(stream)
            for message in (b"one", BIG, b"two"):
                await stream.send(message)
                assert await anext(answers) == message.upper()
        many = await asyncio.gather(
            *(channel.call(ECHO, b"%d" % n, deadline=soon()) for n in range(300))
        )
        assert many == [b"%d" % n for n in range(300)]


async def test_grpcios_compression_metadata_and_statuses_are_understood():
    seen = []

    async def note(context, message):
        seen.append((context.metadata, context.deadline is not None, context.binary_metadata))
        return message

    async with (
        asyncio.timeout(30),
        NativeWire().serve(Routes({ECHO: note, FAIL: fail}), ["127.0.0.1:0"]) as server,
        grpc.aio.insecure_channel(
            server.addresses[0], compression=grpc.Compression.Gzip
        ) as channel,
    ):
        metadata = (("x-request-id", "42"), ("x-raw-bin", b"\x00\xff"))
        answer = await channel.unary_unary(ECHO)(b"a" * 10_000, metadata=metadata, timeout=10)
        assert answer == b"a" * 10_000
        assert seen[0][0]["x-request-id"] == "42"
        assert seen[0][1]
        assert seen[0][2] == {"x-raw-bin": b"\x00\xff"}
        for path, code in (
            (FAIL, grpc.StatusCode.NOT_FOUND),
            ("/no.Such/Method", grpc.StatusCode.UNIMPLEMENTED),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await channel.unary_unary(path)(b"", timeout=10)
            assert failed.value.code() is code


async def test_grpcios_compressed_calls_and_streams_are_answered():
    async with (
        asyncio.timeout(30),
        NativeWire().serve(ROUTES, ["127.0.0.1:0"]) as server,
        grpc.aio.insecure_channel(
            server.addresses[0], compression=grpc.Compression.Gzip
        ) as channel,
    ):
        for message in (b"", b"short", b"a" * 5000, BIG):
            assert await channel.unary_unary(ECHO)(message, timeout=10) == message
        talk = channel.stream_stream(TALK)()
        for message in (b"one", b"a" * 5000, BIG):
            await talk.write(message)
            assert await talk.read() == message.upper()
        talk.cancel()


async def test_a_native_client_reads_answers_in_gzip():
    async def serve(message, context):
        return message

    handlers = grpc.method_handlers_generic_handler(
        "test.Service", {"Echo": grpc.unary_unary_rpc_method_handler(serve)}
    )
    server = grpc.aio.server(compression=grpc.Compression.Gzip)
    server.add_generic_rpc_handlers((handlers,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(30), NativeWire().connect(f"127.0.0.1:{port}") as channel:
            for message in (b"a" * 5000, b"a" * 3_000_000):
                assert await channel.call(ECHO, message, deadline=soon()) == message
    finally:
        await server.stop(0)


async def test_a_message_beyond_the_limit_is_refused_and_the_connection_lives():
    async with (
        asyncio.timeout(30),
        NativeWire().serve(ROUTES, ["127.0.0.1:0"], max_message_bytes=1000) as server,
        grpc.aio.insecure_channel(server.addresses[0]) as channel,
    ):
        call = channel.unary_unary(ECHO)
        with pytest.raises(grpc.aio.AioRpcError, match="larger than max") as refused:
            await call(b"x" * 2_000_000, timeout=10)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await call(b"x" * 1000, timeout=10) == b"x" * 1000


def program(name):
    return pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")


@program("curl")
async def test_curl_gets_an_answer_and_plain_http_a_reason(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\5hello")
    async with NativeWire().serve(ROUTES, ["127.0.0.1:0"]) as server:
        url = f"http://{server.addresses[0]}{ECHO}"
        command = ["curl", "-s", "--http2-prior-knowledge", "-D", "-", "-m", "10"]
        grpc_call = [*command, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        said = await run([*grpc_call, "--data-binary", f"@{body}", url])
        assert said.startswith(b"HTTP/2 200")
        assert b"\0\0\0\0\5hello" in said
        assert b"grpc-status: 0" in said
        assert (await run([*command, url])).startswith(b"HTTP/2 405")
        # Without a body: this curl waits for ever when an answer overtakes its question.
        posted = await run([*command, "-H", "content-type: text/plain", "-X", "POST", url])
        assert posted.startswith(b"HTTP/2 415")


@program("curl")
@pytest.mark.parametrize("size", [10, 5000, 100_000])
async def test_who_asks_in_gzip_is_answered_in_gzip_where_it_pays(tmp_path, size):
    body = tmp_path / "body"
    body.write_bytes(compress(b"a" * size))
    async with NativeWire().serve(ROUTES, ["127.0.0.1:0"]) as server:
        url = f"http://{server.addresses[0]}{ECHO}"
        headers = ["content-type: application/grpc", "te: trailers", "grpc-encoding: gzip"]
        options = [each for header in headers for each in ("-H", header)]
        said = await run(
            ["curl", "-s", "--http2-prior-knowledge", "-D", "-", "-m", "10", *options,
             "--data-binary", f"@{body}", url]
        )  # fmt: skip
    assert b"grpc-status: 0" in said
    assert (b"grpc-encoding: gzip" in said) == (size > 1000)
    assert (compress(b"a" * size)[:9] in said) == (size > 1000)


@program("h2load")
async def test_h2load_finds_every_answer_good(tmp_path):
    body = tmp_path / "body"
    body.write_bytes(b"\0\0\0\0\5hello")
    async with NativeWire().serve(ROUTES, ["127.0.0.1:0"]) as server:
        said = await run(
            ["h2load", "-n", "2000", "-c", "8", "-m", "16", "-d", str(body),
             "-H", "content-type: application/grpc", "-H", "te: trailers",
             f"http://{server.addresses[0]}{ECHO}"]
        )  # fmt: skip
    assert b"2000 succeeded, 0 failed, 0 errored" in said
    assert b"status codes: 2000 2xx" in said


NODE = """
const http2 = require('http2'), address = process.argv[1];
const session = http2.connect('http://' + address);
let left = 50, good = 0;
for (let n = 0; n < left; n++) {
  const call = session.request({':method': 'POST', ':path': '/test.Service/Echo',
    'content-type': 'application/grpc', 'te': 'trailers', 'x-number': String(n)});
  const body = Buffer.concat([Buffer.from([0, 0, 0, 0, 5]), Buffer.from('hello')]);
  const parts = []; let status = null;
  call.on('data', part => parts.push(part));
  call.on('trailers', trailers => { status = trailers['grpc-status']; });
  call.on('close', () => {
    if (status === '0' && Buffer.concat(parts).equals(body)) good++;
    if (--left === 0) { console.log(JSON.stringify({good})); session.close(); }
  });
  call.end(body);
}
"""


@program("node")
async def test_nodes_http2_gets_answers():
    async with NativeWire().serve(ROUTES, ["127.0.0.1:0"]) as server:
        said = await run(["node", "-e", NODE, server.addresses[0]])
    assert json.loads(said) == {"good": 50}


async def run(command):
    finished = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, timeout=30, check=False
    )
    return finished.stdout
