"""Services that believe one another by certificates."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import make_certificates
from tests.support.cluster import Cluster, add_servable, outputs, until

# What happens between services happens on both wires.
WIRES = ["grpcio", "native"]

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def options(certificates, *more):
    return (
        *("--peer-tls-certificate", str(certificates.certificate)),
        *("--peer-tls-key", str(certificates.key)),
        *("--peer-tls-ca", str(certificates.ca)),
        *more,
    )


@pytest.fixture
def ours(tmp_path):
    return make_certificates(tmp_path / "ours")


def log_of(cluster, name):
    return (cluster.folder / f"{name}.log").read_text()


@pytest.mark.parametrize("local", ["--local-socket", "--no-local-socket"])
async def test_requests_pass_from_service_to_service_over_tls(cluster: Cluster, ours, local):
    add_servable(cluster.servables, dims=(-1, 30_000))
    cluster.start_master(*options(ours))
    worker = cluster.start_worker("worker", *options(ours))
    cluster.start_agent("agent", worker, local, *options(ours))
    await cluster.ready("toy")
    row = [1.0] * 30_000
    assert outputs(await cluster.predict(row)) == [[2.0] * 30_000]


async def test_a_service_without_certificates_stays_outside(cluster: Cluster, ours, tmp_path):
    add_servable(cluster.servables)
    theirs = make_certificates(tmp_path / "theirs")
    cluster.start_master(*options(ours))
    worker = cluster.start_worker("worker", *options(ours))
    cluster.start_agent("plain", worker)
    cluster.start_agent("stranger", worker, *options(theirs))
    for name, reasons in (
        ("plain", {"native": "it may speak TLS", "grpcio": "one side may speak TLS"}),
        ("stranger", {"native": "certificate is not believed", "grpcio": "VERIFY_FAILED"}),
    ):
        reason = reasons[cluster.wire]
        await until(lambda n=name, r=reason: r in log_of(cluster, n), what=cluster.logs)
    assert not await cluster.serving("toy")
    cluster.start_agent("agent", worker, *options(ours))
    await cluster.ready("toy")
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]


async def test_a_worker_with_certificates_tells_a_master_without_any(cluster: Cluster, ours):
    add_servable(cluster.servables)
    cluster.start_master()
    cluster.start_worker("worker", *options(ours))
    expected = "the peer speaks no TLS" if cluster.wire == "native" else "WRONG_VERSION"
    await until(lambda: expected in log_of(cluster, "worker"), what=cluster.logs)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
async def test_certificates_made_as_the_document_says_bring_services_together(cluster: Cluster):
    commands = re.search(r"(?m)^    openssl req -x509(?:.|\n)*?\n\n", DOCUMENT.read_text())
    assert commands is not None
    subprocess.run(
        ["bash", "-ec", commands[0]], cwd=cluster.folder, check=True, capture_output=True
    )
    add_servable(cluster.servables)
    named = (
        *("--peer-tls-certificate", "service.pem", "--peer-tls-key", "service.key"),
        *("--peer-tls-ca", "ca.pem", "--peer-tls-name", "mindserve"),
    )
    cluster.start_master(*named)
    worker = cluster.start_worker("worker", *named)
    cluster.start_agent("agent", worker, *named)
    await cluster.ready("toy")
    assert outputs(await cluster.predict([1, 2])) == [[2, 4]]
    probe = [sys.executable, "-m", "shared.wire.check", worker, "--tls-ca", "ca.pem"]
    probe += ["--tls-certificate", "service.pem", "--tls-key", "service.key"]
    probe += ["--tls-server-name", "mindserve"]
    asked = subprocess.run(probe, cwd=cluster.folder, capture_output=True, check=False)
    assert asked.stdout == b"SERVING\n"
