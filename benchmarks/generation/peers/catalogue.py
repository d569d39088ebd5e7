"""Every server that can be measured beside ours, by the name that ``--peers`` takes."""

import sysconfig
from pathlib import Path

from benchmarks.generation.peers import llama_cpp
from benchmarks.generation.peers.peer import GenerationPeer
from benchmarks.generation.peers.vllm import VLLM
from benchmarks.mindir.models import SETTINGS
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.processes import Command

FASTAPI = ("fastapi==0.165.0", "uvicorn[standard]==0.54.0")
SIMPLE = str(Path(__file__).parent / "servers" / "simple_server.py")


def _simple(kind: str, remark: str) -> GenerationPeer:
    """What one writes in an afternoon."""

    def start(environment: Environment, models: Path, port: int) -> Command:
        packages = sysconfig.get_path("purelib")
        variables = {**SETTINGS, "PYTHONPATH": str(ROOT), "BENCH_PACKAGES": packages}
        return Command([environment.python, SIMPLE, str(port), str(models), kind], variables)

    return GenerationPeer(f"fastapi-{kind}", FASTAPI, remark, start)


_ALL = (
    _simple("one", "the bare loop behind FastAPI, each request alone"),
    _simple(
        "batch", "the bare loop behind FastAPI, up to 16 requests that came within 10 ms together"
    ),
    llama_cpp.OF_PYTHON,
    llama_cpp.OWN,
    VLLM,
)
PEERS = {peer.name: peer for peer in _ALL}
