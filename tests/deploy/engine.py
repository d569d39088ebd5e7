"""A docker engine for the tests: the one that answers, else one of our own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.scripts import wait_until

Say = Callable[[str], None]


class NotToBeHad(Exception):
    """Why this machine cannot run the deployment; tests skip with this text."""


def run(*command: str | Path, seconds: float, env: Mapping[str, str] | None = None) -> str:
    """What a command prints; AssertionError with the end of its output when it fails."""
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=seconds, env=env,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{' '.join(words)}: not done after {seconds:.0f} s") from late
    assert done.returncode == 0, (
        f"{' '.join(words)}: status {done.returncode}\n{done.stdout[-4000:]}"
    )
    return done.stdout


def need(program: str, *packages: str, say: Say) -> str:
    """The path of a program, which root installs from Debian packages when it is missing."""
    found = shutil.which(program)
    if not found:
        if os.geteuid() or not shutil.which("apt-get"):
            raise NotToBeHad(f"{program} is not installed, and only root with apt could install it")
        say(f"installing {' '.join(packages)} for {program}")
        install = ["apt-get", "-o", "DPkg::Lock::Timeout=60", "install", "-y"]
        try:
            run("apt-get", "update", seconds=120)
            run(
                *install,
                "--no-install-recommends",
                *packages,
                seconds=240,
                env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            )
        except AssertionError as failure:
            raise NotToBeHad(f"{program} is missing and apt: {last_line(failure)}") from failure
        found = shutil.which(program)
    if not found:
        raise NotToBeHad(f"{program} is not there even after installing {' '.join(packages)}")
    return found


class Engine:
    """Runs docker and compose commands against one engine."""

    def __init__(self, environment: dict[str, str], say: Say) -> None:
        self.environment = environment
        self.say = say

    def docker(self, *arguments: str | Path, seconds: float = 60) -> str:
        return run("docker", *arguments, seconds=seconds, env=self.environment)

    def compose_command(self) -> list[str]:
        """Compose v2 where docker has it, else v1."""
        try:
            self.docker("compose", "version")
        except AssertionError:
            return [need("docker-compose", "docker-compose", say=self.say)]
        return ["docker", "compose"]


@contextmanager
def open_engine(say: Say) -> Iterator[Engine]:
    """The engine that answers here, else a daemon that lives while inside."""
    if shutil.which("docker") and _answers(dict(os.environ)):
        say("using the docker engine that runs here")
        yield Engine(dict(os.environ), say)
        return
    if os.geteuid():
        raise NotToBeHad("no docker engine answers, and only root could start one")
    daemon = need("dockerd", "docker.io", "iptables", say=say)
    need("docker", "docker.io", say=say)
    # Not pytest's folder: gigabytes would be kept, and socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="mindserve-engine-"))
    try:
        with _daemon(daemon, folder, say) as environment:
            yield Engine(environment, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _daemon(program: str, folder: Path, say: Say) -> Iterator[dict[str, str]]:
    bridge = Path("/sys/class/net/docker0")
    had_bridge = bridge.exists()
    had_forwarding = _set_forwarding("1")
    address = f"unix://{folder}/docker.sock"
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, "-H", address, "-p", folder / "dockerd.pid",
             "--data-root", folder / "data", "--exec-root", folder / "run"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    environment = os.environ | {"DOCKER_HOST": address}
    try:
        say(f"started dockerd, pid {process.pid}")
        try:
            wait_until(
                lambda: process.poll() is not None or _answers(environment),
                seconds=60,
                what="dockerd",
            )
        except AssertionError as failure:
            raise NotToBeHad(f"{failure}: {last_line(log.read_text())}") from failure
        if process.poll() is not None:
            raise NotToBeHad(f"dockerd ended: {last_line(log.read_text())}")
        yield environment
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        say(f"ended dockerd, status {process.returncode}")
        _unmount_below(folder)
        _set_forwarding(had_forwarding)
        if bridge.exists() and not had_bridge and shutil.which("ip"):
            run("ip", "link", "delete", "docker0", seconds=10)


def _set_forwarding(value: str) -> str:
    """Set whether this machine forwards packets, return what it did before."""
    # A daemon that switches this on itself also closes the host's FORWARD chain.
    switch = Path("/proc/sys/net/ipv4/ip_forward")
    try:
        before = switch.read_text()
        switch.write_text(value)
    except OSError as failure:
        raise NotToBeHad(f"no right to forward packets: {failure.strerror}") from failure
    return before


def _unmount_below(folder: Path) -> None:
    # dockerd leaves its network namespace mounted, and the folder could not be removed.
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in reversed(mounted):
        if Path(place).is_relative_to(folder):
            run("umount", place, seconds=10)


def _answers(environment: dict[str, str]) -> bool:
    try:
        run("docker", "version", "--format", "{{.Server.Version}}", seconds=10, env=environment)
    except AssertionError:
        return False
    return True


def last_line(text: object) -> str:
    """What a program said last, which is mostly why it failed."""
    return (str(text).strip().splitlines() or ["no word"])[-1]
