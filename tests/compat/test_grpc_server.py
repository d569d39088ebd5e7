"""``start_grpc_server`` as scripts call it: TLS, addresses, the bound on requests."""

import socket

import grpc
import pytest

from mindspore_serving.client import Client, SSLConfig
from tests.support.adding import INSTANCE, TWOS, infer, started
from tests.support.certificates import make_certificates
from tests.support.scripts import RunningScript, run_script

TLS = """
    import sys
    from mindspore_serving import server

    certificate, key, ca = sys.argv[1:]
    for address, config in (
        ("localhost:PORT", server.SSLConfig(certificate, key)),
        ("localhost:PORT2", server.SSLConfig(certificate, key, ca, verify_client=True)),
    ):
        server.start_servables(server.ServableStartConfig("my servables", "add", device_ids=0))
        server.start_grpc_server(address, ssl_config=config)
        sys.stdin.readline()
        server.stop()
"""


def test_clients_call_over_tls_and_show_certificates_where_the_server_verifies(folder):
    ours, other = make_certificates(folder / "ours"), make_certificates(folder / "other")
    trusting = SSLConfig(custom_ca=str(ours.ca))
    known = SSLConfig(str(ours.client_certificate), str(ours.client_key), str(ours.ca))
    stranger = SSLConfig(str(other.client_certificate), str(other.client_key), str(ours.ca))
    with RunningScript(folder, TLS, ours.certificate, ours.key, ours.ca) as script:
        address = script.until("gRPC server start success").rpartition(" ")[2]
        assert infer(address, ssl_config=trusting) == TWOS
        assert infer(address, ssl_config=known) == TWOS
        for wrong in (None, SSLConfig(custom_ca=str(other.ca))):
            assert "(14, 'unavailable')" in infer(address, ssl_config=wrong)["error"]
        script.go_on()
        address = script.until("gRPC server start success").rpartition(" ")[2]
        assert infer(address, ssl_config=known) == TWOS
        for wrong in (trusting, stranger):
            assert "(14, 'unavailable')" in infer(address, ssl_config=wrong)["error"]


BAD_FILES = """
    import sys
    from mindspore_serving import server

    certificate, key, empty, other = sys.argv[1:]
    for files in ((certificate, empty), (certificate, other), ("none.pem", key)):
        try:
            server.start_grpc_server("127.0.0.1:PORT", ssl_config=server.SSLConfig(*files))
        except RuntimeError as failure:
            print(failure)
"""


def test_files_of_no_use_are_named(tmp_path):
    ours, other = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "other")
    (tmp_path / "no.key").write_text("")
    files = (ours.certificate, ours.key, tmp_path / "no.key", other.key)
    ended = run_script(tmp_path, BAD_FILES, *files)
    failed = "Serving Error: Serving gRPC server start failed, create server failed, address 127."
    lines = ended.stdout.splitlines()
    assert [line.startswith(failed) for line in lines] == [True] * 3, ended.stderr
    for line, words in zip(
        lines,
        ("load private_key from", "private_key is not consistent with certificate", "none.pem"),
        strict=True,
    ):
        assert words in line


def test_a_unix_socket_is_an_address_even_where_a_killed_server_left_one(folder):
    path = folder / "front.sock"
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(path))
    with started(folder, f"unix:{path}") as script:
        script.until("started")
        assert infer(f"unix:{path}") == TWOS
        assert path.stat().st_mode & 0o077 == 0
    assert not path.exists()


REFUSED = """
    import socket
    from mindspore_serving import server

    taken = socket.create_server(("127.0.0.1", PORT))
    for address in (
        "127.0.0.1:PORT", "a:b:1", "no.such.host.invalid:PORT2", "localhost", ":1", "1.1.1.1:x",
        "127.0.0.1:65536", "unix:",
    ):
        try:
            server.start_grpc_server(address)
        except RuntimeError as failure:
            print(failure)
    server.start_grpc_server("127.0.0.1:PORT2")
    try:
        server.start_grpc_server("127.0.0.1:PORT3")
    except RuntimeError as failure:
        print(failure)
    server.start_grpc_server("127.0.0.1:PORT2")
    print("started again")
"""


def test_addresses_that_cannot_be_had_are_refused_in_the_originals_words(tmp_path):
    ended = run_script(tmp_path, REFUSED)
    assert ended.returncode == 0, ended.stderr
    failed = "Serving Error: Serving gRPC server start failed, create server failed, address "
    illegal = "Serving Error: The format of the Serving gRPC address "
    said = ended.stdout.splitlines()
    for line, begin in zip(
        said,
        (
            *(failed + "127.0.0.1:", failed + "a:b:1", failed + "no.such.host.invalid:"),
            *(illegal + "'localhost' is illegal", illegal + "':1' is illegal. Missing ip or port"),
            illegal + "'1.1.1.1:x' is illegal, port is not a number",
            "The port of the Serving gRPC address '127.0.0.1:65536' is out of legal range",
            "Serving Error: Empty grpc server unix domain socket address",
            "Serving: Serving gRPC server start success, listening on 127.0.0.1:",
            "Serving Error: Serving gRPC server is already running",
            "Serving: Serving gRPC server start success, listening on 127.0.0.1:",
            "started again",
        ),
        strict=True,
    ):
        assert line.startswith(begin)


LIMITED = """
    from mindspore_serving import server

    server.master.context.set_max_enqueued_requests(1)
    server.start_servables(server.ServableStartConfig("my servables", "add", device_ids=0))
    server.start_grpc_server("127.0.0.1:PORT")
"""


def test_requests_beyond_the_limit_are_refused_at_once(folder):
    with RunningScript(folder, LIMITED) as script:
        address = script.until("start success").rpartition(" ")[2]
        with Client(address, "add", "add_slowly") as client:
            calls = [client.infer_async(INSTANCE) for _ in range(2)]
            results = [each.result(30) for each in calls]
        refused = [each for each in results if isinstance(each, dict)]
        assert len(refused) == 1
        words = "Serving Error: enqueued requests count exceeds the limit 1"
        assert words in refused[0]["error"]
        with Client(address, "add", "add_slowly", raise_on_error=True) as client:
            calls = [client.infer_async(INSTANCE) for _ in range(2)]
            with pytest.raises(grpc.RpcError, match="exceeds the limit 1"):
                for each in calls:
                    each.result(30)
