"""KServe's model server in Python, over its gRPC."""

from benchmarks.messages import open_inference
from benchmarks.peers.scripted import ScriptedPeer

KSERVE = ScriptedPeer(
    name="kserve",
    protocol="gRPC",
    requirements=("kserve==0.21.0", "numpy"),
    remark="one process; its batching is a process of another kind, not in the package;"
    " preprocess, predict and postprocess in all works",
    request=lambda work: open_inference(work, "bench"),
    script="kserve_server.py",
    refusal=lambda work: "it does not batch" if work.latency_seconds else "",
)
