"""Master, worker and agent with language models, and a load on them."""

import http.client
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generation.configurations import Configuration
from benchmarks.generation.models import EXAMPLE
from benchmarks.measure import NotReady
from benchmarks.mindir.models import SETTINGS
from benchmarks.peers.environment import ROOT
from benchmarks.processes import Command, Processes
from shared.ports import free_port

MASTER, WORKER, AGENT = range(3)
"""Which command each service is; what the agent starts are device processes."""
READY_SECONDS = 300.0
"""Graphs are compiled first."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """Services that answer."""

    processes: Processes
    url: str


def service(name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Command:
    """One of our services."""
    return Command(
        [sys.executable, "-m", f"services.{name}", "--log-level", "warning", *arguments],
        {"PYTHONPATH": str(ROOT), **(environment or {})},
    )


def add_servable(directory: Path, each: Configuration, models: Path) -> None:
    """The example's graphs as a servable; they stay where they are."""
    folder = directory / each.name
    folder.mkdir(parents=True)
    (folder / "servable_config.py").write_text(each.config())
    (folder / "1").symlink_to(models / "fused" if each.fused else models)
    shutil.copy(EXAMPLE / "tokenizer.json", folder)


@contextmanager
def deployed(folder: Path, names: Sequence[str]) -> Iterator[Deployment]:
    """Services for the servables in ``folder/servables``, while inside; ``names`` answer."""
    front, rest, joins, listens = (f"127.0.0.1:{free_port()}" for _ in range(4))
    commands = [
        service("master", "--listen", front, "--rest-address", rest, "--membership-address", joins),
        service(
            "worker", "--listen", listens, "--masters", joins,
            "--servable-directory", str(folder / "servables"),
        ),
        service("agent", "--worker", listens, environment=SETTINGS),
    ]  # fmt: skip
    with Processes(commands, folder) as processes:
        url = f"http://{rest}"
        for name in names:
            wait_for_text(url, name, processes)
        yield Deployment(processes, url)
        processes.check()


def wait_for_text(
    url: str, model: str, processes: Processes, extra: Mapping[str, object] | None = None
) -> None:
    """Until a server continues a text; raises NotReady."""
    until = time.monotonic() + READY_SECONDS
    asked = {"model": model, "prompt": "The", "max_tokens": 2, "temperature": 0.0, **(extra or {})}
    while True:
        processes.check()
        answer = _post(url, json.dumps({k: v for k, v in asked.items() if v is not None}))
        if answer.startswith("200"):
            return
        if time.monotonic() > until:
            raise NotReady(f"the last answer was {answer[:300]}\n{processes.last_words()}")
        time.sleep(0.2)


def _post(url: str, body: str) -> str:
    """Status and body of an answer, or why there is none."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    try:
        connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
        response = connection.getresponse()
        return f"{response.status} {response.read().decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as failure:
        return repr(failure)
    finally:
        connection.close()
