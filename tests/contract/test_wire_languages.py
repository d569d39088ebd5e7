"""The native wire's server under gRPC's own libraries in other languages.

Each program is built once and kept in pytest's cache; where a language's compiler or gRPC
library is not installed its tests are skipped with the reason. Debian's packages for all of them:
npm, g++ libgrpc++-dev libprotobuf-dev pkg-config, golang-go golang-google-grpc-dev, default-jdk
libgrpc-java libnetty-java libperfmark-java libguava-java libnetty-tcnative-java
libnetty-tcnative-jni.
"""

import asyncio
import hashlib
import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.errors import NotServed
from shared.health import HealthBoard
from shared.wire.health import health_routes
from shared.wire.interface import ConnectionAge, Routes
from shared.wire.native import NativeWire
from tests.support.certificates import make_certificates

CLIENTS = Path(__file__).parent / "clients"
GRPC_JS = "@grpc/grpc-js@1.14.7"
# Debian's; no one package depends on all that a client needs.
JAVA_LIBRARIES = (
    "grpc-api", "grpc-context", "grpc-core", "grpc-netty", "grpc-stub", "guava", "failureaccess",
    "netty-*", "perfmark-api", "perfmark-impl",
)  # fmt: skip
TCNATIVE = Path("/usr/lib/x86_64-linux-gnu/jni/libnetty-tcnative.so")
GO_PACKAGES = Path("/usr/share/gocode")
SAID = {
    "unary: hello",
    "metadata: 42 00ff",
    "error: 5 nothing ünder that name NotServed",
    "deadline: 4",
    "large: true",
    "watch: 0801",
    "many: true",
}


async def echo(context, message):
    return message


async def metadata(context, message):
    raw = context.binary_metadata["x-raw-bin"].hex()
    return f"{context.metadata['x-request-id']} {raw}".encode()


async def fail(context, message):
    raise NotServed("nothing ünder that name")


async def hang(context, message):
    return await asyncio.Future()


ROUTES = Routes({f"/test.Service/{h.__name__.title()}": h for h in (echo, metadata, fail, hang)})


@asynccontextmanager
async def serving(tls):
    board = HealthBoard()
    board.set("", True)
    routes = ROUTES | health_routes(board)
    # So young that connections are made anew under way.
    age = ConnectionAge(0.1, 20.0)
    wire = NativeWire()
    async with wire.serve(routes, ["127.0.0.1:0"], max_connection_age=age, tls=tls) as server:
        yield server.addresses[0]


class Unavailable(Exception):
    """A language that cannot be had here."""


def built(folder, source, *commands, **environment):
    """Where ``commands`` built ``source``: once, until it changes."""
    mark = folder / "built"
    key = hashlib.sha256(source.read_bytes() + repr(commands).encode()).hexdigest()
    if not mark.exists() or mark.read_text() != key:
        folder.mkdir(parents=True, exist_ok=True)
        for command in commands:
            made = subprocess.run(
                command, cwd=folder, env=os.environ | environment, timeout=100,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if made.returncode:
                raise Unavailable(f"{command[0]} failed: {made.stderr.strip()[-500:]}")
        mark.write_text(key)
    return folder


def need(*programs):
    for each in programs:
        if shutil.which(each) is None:
            raise Unavailable(f"{each} is not installed")


def node(folder):
    need("node", "npm")
    source = CLIENTS / "client.js"
    install = ["npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0", GRPC_JS]
    built(folder, source, ["npm", "init", "-y"], install, ["cp", str(source), "."])
    return ["node", str(folder / source.name)]


def cpp(folder):
    need("g++", "pkg-config")
    source = CLIENTS / "client.cc"
    flags = "$(pkg-config --cflags --libs grpc++ protobuf)"
    compile_it = ["sh", "-c", f"g++ -std=c++17 {source} -o client {flags}"]
    built(folder, source, ["pkg-config", "--exists", "grpc++"], compile_it)
    return [str(folder / "client")]


def go(folder):
    need("go")
    if not (GO_PACKAGES / "src/google.golang.org/grpc").exists():
        raise Unavailable("grpc-go is not installed")
    source = CLIENTS / "client.go"
    compile_it = ["go", "build", "-o", "client", str(source)]
    built(folder, source, compile_it, GO111MODULE="off", GOPATH=str(GO_PACKAGES))
    return [str(folder / "client")]


def java(folder):
    need("java", "javac")
    jars = [
        str(jar) for name in JAVA_LIBRARIES for jar in Path("/usr/share/java").glob(f"{name}.jar")
    ]
    if not any("grpc-netty" in each for each in jars):
        raise Unavailable("grpc-java is not installed")
    source, path = CLIENTS / "Client.java", ":".join(jars)
    built(folder, source, ["javac", "-cp", path, "-d", ".", str(source)])
    if TCNATIVE.exists():
        # Debian's netty cannot do ALPN without it, and looks for it under another name.
        shutil.copy(TCNATIVE, folder / "libnetty_tcnative.so")
    speed = ["-XX:TieredStopAtLevel=1", f"-Djava.library.path={folder}"]
    return ["java", *speed, "-cp", f"{folder}:{path}", "Client"]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("language", [node, cpp, go, java], ids=lambda each: each.__name__)
async def test_grpcs_own_libraries_are_served(language, tls, pytestconfig, tmp_path):
    if language is java and tls and not TCNATIVE.exists():
        pytest.skip("libnetty-tcnative-jni is not installed")
    cache = getattr(pytestconfig, "cache", None)
    folder = (cache.mkdir("wire-clients") if cache else tmp_path) / language.__name__
    try:
        command = await asyncio.to_thread(language, folder)
    except (Unavailable, subprocess.TimeoutExpired) as reason:
        pytest.skip(str(reason))
    certificates = make_certificates(tmp_path)
    async with serving(certificates.server if tls else None) as address:
        said, complaint = await run([*command, address, *([str(certificates.ca)] * tls)])
    assert set(said.splitlines()) == SAID, complaint


async def run(command):
    ended = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, timeout=60, check=False
    )
    return ended.stdout.decode(), ended.stderr.decode()
