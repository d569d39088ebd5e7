"""``python mlserver_server.py PORT``: writes MLServer's settings here and becomes it."""

import json
import os
import socket
import sys
from pathlib import Path

from bench_model import WORK


def free_ports(count: int) -> list[int]:
    """Ports for what we do not ask: REST and metrics."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


if __name__ == "__main__":
    rest, metrics = free_ports(2)
    settings = {"host": "127.0.0.1", "grpc_port": int(sys.argv[1]), "http_port": rest,
                "metrics_port": metrics, "parallel_workers": 0, "debug": False}  # fmt: skip
    model = {"name": "bench", "implementation": "mlserver_model.Bench"}
    if WORK["max_batch"]:
        model |= {"max_batch_size": WORK["max_batch"], "max_batch_time": 0.002}
    Path("settings.json").write_text(json.dumps(settings))
    Path("model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", "."])
