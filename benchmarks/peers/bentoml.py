"""BentoML: JSON over HTTP."""

from benchmarks.messages import json_http
from benchmarks.peers.scripted import ScriptedPeer

BENTOML = ScriptedPeer(
    name="bentoml",
    protocol="HTTP/1.1, JSON (b, e: base64 in JSON)",
    requirements=("bentoml==1.4.39", "numpy"),
    remark="one worker; batches of a latency it picks itself (work c only);"
    " work d: services for preprocessing and model behind a third",
    request=lambda work: json_http(work, "/predict"),
    script="bentoml_server.py",
    command=lambda environment, script, port: (
        environment.program("bentoml"), "serve", "bentoml_server:Bench", "--host", "127.0.0.1",
        "--port", str(port), "--working-dir", script.rpartition("/")[0],
    ),
    environment={"BENTOML_DO_NOT_TRACK": "True"},
)  # fmt: skip
