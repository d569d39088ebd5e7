import socketserver
import urllib.request
from functools import partialmethod

import pytest

from shared.addresses import HostPort
from shared.metrics import exporter, new_registry
from shared.ports import free_port, is_unused


@pytest.mark.timeout(30)
def test_the_endpoint_ends_at_once(monkeypatch):
    serve = socketserver.BaseServer.serve_forever
    monkeypatch.setattr(
        socketserver.BaseServer, "serve_forever", partialmethod(serve, poll_interval=60)
    )
    port = free_port()
    with exporter(new_registry(), HostPort("127.0.0.1", port)):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b"process_cpu_seconds_total" in answer.read()
    assert is_unused(port)
