"""docker-compose.yml brought up under a name of its own, and what its containers went through."""

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shared.ports import free_port
from tests.deploy.engine import Engine, run
from tests.deploy.image import ROOT
from tests.support.scripts import wait_until

COMPOSE_FILE = ROOT / "deploy" / "docker-compose.yml"
SERVICES = ("master", "worker", "agent-0", "agent-1")

# Runs inside a container: the service is the only child of the init process.
_KILL_MAIN_PROCESS = """
import os, pathlib, signal
for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
    if stat.read_text().rpartition(")")[2].split()[1] == "1":
        os.kill(int(stat.parent.name), signal.SIGKILL)
"""


class Deployment:
    """The services of docker-compose.yml in containers; ``more`` files and variables on top."""

    def __init__(
        self,
        engine: Engine,
        image: str,
        servables: Path,
        *more: Path,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.engine = engine
        self.project = f"mindserve-{secrets.token_hex(4)}"
        self.port, self.rest_port = free_port(), free_port()
        self._command = engine.compose_command()
        self._environment = engine.environment | {
            "MINDSERVE_IMAGE": image,
            "MINDSERVE_PORT": str(self.port),
            "MINDSERVE_REST_PORT": str(self.rest_port),
            "SERVABLES": str(servables),
            **(variables or {}),
        }
        self._files = [word for file in (COMPOSE_FILE, *more) for word in ("-f", str(file))]
        self._up = False

    def up(self) -> list[dict[str, Any]]:
        """Start what is not running, wait until all are healthy, return what happened."""
        if self._up:
            return []
        began = time.time()
        self.engine.say("docker-compose up")
        with self.explained():
            self._compose("up", "-d", seconds=120)
        self._up = True
        for service in SERVICES:
            self.healthy(service)
        self.engine.say(f"all healthy after {time.time() - began:.0f} s")
        return self._events(began)

    def down(self) -> list[dict[str, Any]]:
        """Stop and remove everything, return what happened."""
        began = time.time()
        self.engine.say("docker-compose down")
        self._compose("down", seconds=120)
        self._up = False
        self.engine.say(f"down after {time.time() - began:.1f} s")
        return self._events(began)

    def stop(self, service: str) -> None:
        self._compose("stop", service, seconds=60)

    def start(self, service: str) -> None:
        self._compose("start", service, seconds=60)
        self.healthy(service)

    def execute(self, service: str, program: str) -> str:
        """What a Python program prints inside a service's container."""
        return self.engine.docker("exec", self.container(service), "python", "-c", program)

    def kill_main_process(self, service: str) -> None:
        # Not `docker kill`: Docker takes that for the user's wish and restarts nothing.
        # Detached, because the container's end takes this program with it.
        self.engine.docker(
            "exec", "--detach", self.container(service), "python", "-c", _KILL_MAIN_PROCESS
        )

    def container(self, service: str) -> str:
        return self.engine.docker(
            "ps", "--all", "--quiet",
            "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", f"label=com.docker.compose.service={service}",
        ).strip()  # fmt: skip

    def inspect(self, service: str) -> dict[str, Any]:
        return json.loads(self.engine.docker("inspect", self.container(service)))[0]

    def healthy(self, service: str, *, restarts: int = 0) -> None:
        """Wait until a service is healthy after so many restarts."""

        def condition() -> bool:
            seen = self.inspect(service)
            return (
                seen["RestartCount"] >= restarts and seen["State"]["Health"]["Status"] == "healthy"
            )

        with self.explained():
            wait_until(condition, seconds=60, what=f"{service} to be healthy")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Add what the services printed to a failure."""
        try:
            yield
        except AssertionError as failure:
            logs = self._compose("logs", "--no-color", "--tail=40", seconds=30)
            raise AssertionError(f"{failure}\n{logs}") from failure

    def _compose(self, *arguments: str, seconds: float) -> str:
        return run(
            *self._command, "-p", self.project, *self._files, *arguments,
            seconds=seconds, env=self._environment,
        )  # fmt: skip

    def _events(self, since: float) -> list[dict[str, Any]]:
        lines = self.engine.docker(
            "events", "--since", f"{since:.6f}", "--until", f"{time.time():.6f}",
            "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", "type=container", "--format", "{{json .}}",
        )  # fmt: skip
        return [json.loads(line) for line in lines.splitlines()]


def moments(events: list[dict[str, Any]], action: str) -> dict[str, int]:
    """When ``action`` first happened to each service, in nanoseconds."""
    found: dict[str, int] = {}
    for event in events:
        if event["Action"] == action:
            found.setdefault(_service(event), event["timeNano"])
    return found


def exit_codes(events: list[dict[str, Any]]) -> dict[str, int]:
    """What each service's process ended with, the last time it did."""
    return {
        _service(event): int(event["Actor"]["Attributes"]["exitCode"])
        for event in events
        if event["Action"] == "die"
    }


def _service(event: dict[str, Any]) -> str:
    return event["Actor"]["Attributes"]["com.docker.compose.service"]
