"""``start_restful_server`` as scripts of the original call it."""

import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mindspore_serving import server
from shared.ports import free_port
from tests.support.certificates import make_certificates
from tests.support.cluster import add_servable

BOTH_DOORS = """
import sys

from mindspore_serving import server

directory, address, grpc_address, certificate, key, ca = sys.argv[1:]
ssl_config = server.SSLConfig(certificate, key, ca, verify_client=True)
server.start_restful_server(address, ssl_config=ssl_config)
server.start_servables(server.ServableStartConfig(directory, "toy", device_ids=0))
server.start_grpc_server(grpc_address)
print("both", flush=True)
sys.stdin.readline()
try:
    server.start_restful_server(address)
except RuntimeError as failure:
    print("second call:", failure, flush=True)
    sys.exit(0)
"""
AGAIN_AND_AGAIN = """
import sys

from mindspore_serving import server

directory, address = sys.argv[1:]
for _ in range(2):
    server.start_servables(server.ServableStartConfig(directory, "toy", device_ids=0))
    server.start_restful_server(address)
    print("stopping", flush=True)
    server.stop()
server.stop()
server.start_servables(server.ServableStartConfig(directory, "toy", device_ids=0))
server.start_restful_server(address)
print("running", flush=True)
"""


@pytest.fixture(params=[{}, {"MINDSERVE_MASTER_REST_STATUS": "honest"}], ids=["compat", "honest"])
def environment(request):
    return request.param


def start(folder, text, *arguments, environment=None):
    script = folder / "serving_server.py"
    script.write_text(text)
    add_servable(folder / "servables")
    return subprocess.Popen(
        [sys.executable, script, folder / "servables", *arguments],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])} | (environment or {}),
    )  # fmt: skip


def post(url, asked, context=None):
    request = urllib.request.Request(url, json.dumps(asked).encode(), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as failure:
        with failure:
            return failure.code, json.loads(failure.read())


def read_until(process, text):
    said = []
    for line in process.stdout:
        said.append(line)
        if text in line:
            return said
    raise AssertionError(f"the script ended without saying {text!r}: {said}")


def end(process):
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    process.stdin.close()
    process.stdout.close()


def test_servables_are_served_and_may_be_stopped_and_started_again(tmp_path, environment):
    address = f"127.0.0.1:{free_port()}"
    process = start(tmp_path, AGAIN_AND_AGAIN, address, environment=environment)
    try:
        said = read_until(process, "running")
        started = f"Serving: Serving RESTful server start success, listening on {address}\n"
        assert said.count(started) == 3
        url = f"http://{address}/model/toy"
        asked = {"instances": [{"x1": [1.5, 2.0]}, {"x1": [0.5, -1.0]}]}
        assert post(f"{url}:predict", asked) == (
            200, {"instances": [{"y": [3.0, 4.0]}, {"y": [1.0, -2.0]}]},
        )  # fmt: skip
        status, answer = post(f"{url}:none", asked)
        assert "method is not available" in answer["error_msg"]
        assert status == (404 if environment else 200)
    finally:
        end(process)


def test_https_with_client_certificates_and_a_second_call(tmp_path):
    ours = make_certificates(tmp_path / "tls")
    address = f"127.0.0.1:{free_port()}"
    files = (ours.certificate, ours.key, ours.ca)
    process = start(tmp_path, BOTH_DOORS, address, f"127.0.0.1:{free_port()}", *files)
    try:
        read_until(process, "both")
        context = ssl.create_default_context(cafile=ours.ca)
        context.load_cert_chain(ours.client_certificate, ours.client_key)
        asked = {"instances": {"x1": [1.5, 2.0]}}
        answer = post(f"https://{address}/model/toy/version/1:predict", asked, context)
        assert answer == (200, {"instances": [{"y": [3.0, 4.0]}]})
        process.stdin.write("\n")
        process.stdin.close()
        said = read_until(process, "second call")
        assert said[-1] == "second call: Serving Error: RESTful server is already running\n"
        assert process.wait(60) == 0
    finally:
        end(process)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "localhost",
            "Serving Error: The format of the RESTful server address 'localhost' is illegal",
        ),
        (
            ":5500",
            "The format of the RESTful server address ':5500' is illegal. Missing ip or port",
        ),
        ("127.0.0.1:", "Missing ip or port"),
        ("127.0.0.1:http", "port is not a number"),
        ("127.0.0.1:65536", "The port of the RESTful server address '127.0.0.1:65536' is out of"),
        ("127.0.0.1:0", "is out of legal range [1 ~ 65535]"),
        ("a:b:5500", "is illegal"),
        ("unix:/tmp/x", "RESTful server does not support binding to unix domain socket"),
        (5500, "Parameter 'address' should be str, but actually <class 'int'>"),
        ("", "Parameter 'address' should not be empty str"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused_in_the_originals_words(address, message):
    with pytest.raises(RuntimeError) as refused:
        server.start_restful_server(address)
    assert message in str(refused.value)


def test_ssl_config_is_checked_in_the_originals_words(tmp_path):
    ours, theirs = make_certificates(tmp_path / "a"), make_certificates(tmp_path / "b")
    good, key, other = str(ours.certificate), str(ours.key), str(theirs.key)
    with pytest.raises(RuntimeError, match="ssl_config should be class of SSLConfig"):
        server.start_restful_server("127.0.0.1:1500", ssl_config=1)
    with pytest.raises(RuntimeError, match="ssl_config should be type of SSLConfig"):
        server.start_grpc_server("127.0.0.1:1500", ssl_config=1)
    with pytest.raises(RuntimeError, match="Parameter 'custom_ca' should be str"):
        server.SSLConfig(good, key, verify_client=True)
    with pytest.raises(RuntimeError, match="Parameter 'private_key' should be str"):
        server.SSLConfig(good, None)
    for config, message in (
        (
            server.SSLConfig(good, "none.key"),
            "Serving Error: load private_key from none.key failed",
        ),
        (server.SSLConfig("none.pem", key), "load certificate_chain from none.pem failed"),
        (server.SSLConfig(good, other), "private_key is not consistent with certificate"),
    ):
        with pytest.raises(RuntimeError, match=message):
            server.start_restful_server("127.0.0.1:1500", ssl_config=config)


def test_an_address_that_is_in_use_is_named(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    script = (
        "import socket\n"
        "from mindspore_serving import server\n"
        "taken = socket.create_server(('127.0.0.1', " + address.rpartition(":")[2] + "))\n"
        f"server.start_restful_server({address!r})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert ended.returncode == 1
    assert (
        "Serving Error: RESTful server start failed, bind to the socket address"
        f" {address} failed" in ended.stderr
    )
