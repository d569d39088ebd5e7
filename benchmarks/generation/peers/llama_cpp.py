"""llama.cpp behind two servers: that of its Python package, and its own."""

import subprocess
import tarfile
from pathlib import Path

from benchmarks.generation.models import EXAMPLE
from benchmarks.generation.peers.peer import GenerationPeer
from benchmarks.generation.shapes import LONGEST, ROWS
from benchmarks.peers.environment import Environment
from benchmarks.processes import Command

VERSION = "0.3.36"
PACKAGE = f"llama-cpp-python=={VERSION}"
HEADS = "8"
THREADS = "2"
CONVERTER = str(Path(__file__).parent / "servers" / "to_gguf.py")
WITHOUT = ("TESTS", "EXAMPLES", "APP", "UI")
"""What of llama.cpp is not built."""


def gguf(models: Path) -> str:
    """The example's weights as llama.cpp reads them."""
    return str(models / "llm.gguf")


def convert(environment: Environment, models: Path) -> None:
    """Raises CalledProcessError."""
    if not Path(gguf(models)).exists():
        inputs = [str(EXAMPLE / name) for name in ("weights.npz", "tokenizer.json")]
        command = [environment.python, CONVERTER, *inputs, gguf(models), HEADS]
        subprocess.run(command, check=True)


def start_python(environment: Environment, models: Path, port: int) -> Command:
    """The package's server."""
    options = {
        "model": gguf(models), "model_alias": "llm", "host": "127.0.0.1", "port": str(port),
        "n_ctx": str(LONGEST), "n_threads": THREADS, "n_threads_batch": THREADS,
        # Else a request ends the stream of the one before it.
        "interrupt_requests": "false", "verbose": "false",
    }  # fmt: skip
    given = [word for name, value in options.items() for word in (f"--{name}", value)]
    return Command([environment.python, "-m", "llama_cpp.server", *given])


def program(environment: Environment) -> Path:
    """llama.cpp's own server."""
    return environment.folder / "llama.cpp" / "bin" / "llama-server"


def build(environment: Environment, models: Path) -> None:
    """llama.cpp's own server, from the package's sources: needs cmake and a compiler."""
    convert(environment, models)
    if program(environment).exists():
        return
    folder = environment.folder / "llama.cpp"
    folder.mkdir(exist_ok=True)
    download = ["-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:", PACKAGE]
    subprocess.run([environment.python, *download, "-d", str(folder)], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as sources:
        sources.extractall(folder, filter="data")
    options = [f"-DLLAMA_BUILD_{each}=OFF" for each in WITHOUT]
    options += ["-DCMAKE_BUILD_TYPE=Release", "-DLLAMA_OPENSSL=OFF", "-DLLAMA_USE_PREBUILT_UI=OFF"]
    source = next(folder.glob("*/vendor/llama.cpp"))
    for command in (
        ["cmake", "-S", str(source), "-B", str(folder), *options],
        ["cmake", "--build", str(folder), "--target", "llama-server", "--parallel", THREADS],
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def start_own(environment: Environment, models: Path, port: int) -> Command:
    """llama.cpp's own server, with a slot for each text at once."""
    return Command(
        [str(program(environment)), "--model", gguf(models), "--alias", "llm",
         "--host", "127.0.0.1", "--port", str(port), "--threads", THREADS,
         "--threads-batch", THREADS, "--parallel", str(ROWS),
         "--ctx-size", str(ROWS * LONGEST), "--no-webui"],
        {"LD_LIBRARY_PATH": str(program(environment).parent)},
    )  # fmt: skip


# Without what they take by themselves: penalties (another text) and caches of prompts.
OF_PYTHON = GenerationPeer(
    "llama-cpp-python",
    (f"llama-cpp-python[server]=={VERSION}", "gguf==0.19.0"),
    "the weights as GGUF, float32 (as Jais, a quarter more products); one request at a time, the "
    "others wait",
    start_python,
    convert,
    {"repeat_penalty": 1.0},
)
OWN = GenerationPeer(
    "llama-server",
    OF_PYTHON.requirements,
    "llama.cpp's own server, from the sources of the package above; 16 slots, batched continuously",
    start_own,
    build,
    {"cache_prompt": False},
)
