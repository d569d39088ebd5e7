"""Ray Serve: raw bytes over HTTP."""

from benchmarks.messages import raw_http
from benchmarks.peers.scripted import ScriptedPeer

RAY_SERVE = ScriptedPeer(
    name="ray-serve",
    protocol="HTTP/1.1, raw bytes",
    requirements=("ray[serve]==2.60.0", "numpy"),
    remark="one replica; batches wait 2 ms (works c, e); work d: three deployments behind a fourth",
    request=lambda work: raw_http(work, "/"),
    script="ray_server.py",
    environment={"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"},
)
