"""MLServer, over its gRPC."""

from benchmarks.messages import open_inference
from benchmarks.peers.scripted import ScriptedPeer

MLSERVER = ScriptedPeer(
    name="mlserver",
    protocol="gRPC",
    requirements=("mlserver==1.7.1", "uvloop<0.22", "pandas<3", "numpy"),
    remark="model in the server's process; batches wait 2 ms (works c, e);"
    " work d: it knows no stages, all of it in predict",
    request=lambda work: open_inference(work, "bench"),
    script="mlserver_server.py",
)
