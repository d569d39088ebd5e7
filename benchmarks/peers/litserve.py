"""LitServe: FastAPI before Python processes; JSON over HTTP."""

from benchmarks.messages import json_http
from benchmarks.peers.scripted import ScriptedPeer

LITSERVE = ScriptedPeer(
    name="litserve",
    protocol="HTTP/1.1, JSON (b, e: base64 in JSON)",
    requirements=("litserve==0.2.19", "numpy"),
    remark="one worker; batches wait 2 ms (works c, e); work d: decode_request and encode_response",
    request=lambda work: json_http(work, "/predict"),
    script="litserve_server.py",
)
