"""Mosec: a Rust front before Python processes; HTTP, the body is the tensor."""

from benchmarks.messages import raw_http
from benchmarks.peers.scripted import ScriptedPeer

MOSEC = ScriptedPeer(
    name="mosec",
    protocol="HTTP/1.1, raw bytes",
    requirements=("mosec==0.9.8", "numpy"),
    remark="one worker; batches wait 2 ms (works c, e); work d: three workers in a row",
    request=lambda work: raw_http(work, "/inference"),
    script="mosec_server.py",
    command=lambda environment, script, port: (
        environment.python, script, "--address", "127.0.0.1", "--port", str(port),
        "--log-level", "warning", "--timeout", "30000",
    ),
)  # fmt: skip
