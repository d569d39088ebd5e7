"""What a run measures: everything is started once, and takes turns in each round."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.generation.configurations import CONFIGURATIONS, ON
from benchmarks.generation.deployment import Deployment, add_servable, deployed, wait_for_text
from benchmarks.generation.levels.fake import FAKE, add_fake
from benchmarks.generation.levels.steps import level_times, master_alone
from benchmarks.generation.load.child import GeneratorFailed
from benchmarks.generation.loads import ALONE, EQUAL, VARIED, Loads, Served, served_time
from benchmarks.generation.models import BareLoop, bare_loop
from benchmarks.generation.peers.peer import GenerationPeer
from benchmarks.generation.shapes import ROWS
from benchmarks.generation.times import OURS, BareTime, LevelTime, ServedTime
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.processes import Processes
from benchmarks.rounds import FAILURES, say
from shared.ports import free_port

CAUGHT = (*FAILURES, GeneratorFailed, json.JSONDecodeError)
STEPS = 64
"""Of a bare loop in each round."""
LEVELS = {"fake model": FAKE.name, "real model": ON.name}


@dataclass(slots=True)
class Found:
    """What came out so far."""

    bare: list[BareTime] = field(default_factory=list)
    served: list[ServedTime] = field(default_factory=list)
    levels: list[LevelTime] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def failed(self, where: str, failure: BaseException) -> None:
        """Note what could not be measured."""
        self.failures.append(f"{where}: {type(failure).__doc__}")
        said = getattr(failure, "stderr", None) or ""
        say(f"{where} FAILED: {failure} {said[-500:]}")


class Parts:
    """Everything that was started, while inside."""

    def __init__(
        self, models: Path, loads: Loads, peers: Sequence[GenerationPeer], chosen: Sequence[str],
        found: Found,
    ) -> None:  # fmt: skip
        self._models = models
        self._loads = loads
        self._peers = peers
        self._chosen = chosen
        self._found = found
        self._stack = ExitStack()
        self._servers: list[tuple[Served, Sequence[str]]] = []

    def __enter__(self) -> "Parts":
        with self._stack as stack:
            self._folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
            self._bare: BareLoop | None = None
            if "bare" in self._chosen:
                say("a bare loop compiles the graphs ...")
                self._bare = stack.enter_context(bare_loop(self._models))
            self._whole = self._start_ours(stack)
            self._alone: Deployment | None = None
            if "levels" in self._chosen:
                self._alone = stack.enter_context(master_alone(self._own_folder("alone")))
            for peer in self._peers:
                self._start(stack, peer)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def measure(self, number: int) -> None:
        """One round; number 0 is not counted."""
        found = self._found if number else Found()
        if self._bare is not None:
            found.bare += _bare_times(self._bare, self._loads, number)
        for server, loads in self._servers:
            for load in loads if number else loads[-1:]:
                try:
                    time = served_time(
                        server, load, self._loads, number=number, folder=self._folder
                    )
                    found.served.append(time)
                    say(
                        f"round {number}, {server.name}, {load}: "
                        f"{time.tokens_per_second:.0f} tokens/s, {time.errors} errors {time.error}"
                    )
                except CAUGHT as failure:
                    self._found.failed(f"round {number}, {server.name}, {load}", failure)
        if self._alone is not None and number:
            found.levels += self._level_times(self._alone, number)

    def _level_times(self, alone: Deployment, number: int) -> Iterator[LevelTime]:
        """Those that could be measured."""
        where = f"round {number}, levels"
        try:
            yield from level_times(alone, self._whole, LEVELS, number=number, folder=self._folder)
            say(f"{where}: done")
        except CAUGHT as failure:
            self._found.failed(where, failure)

    def _start_ours(self, stack: ExitStack) -> Deployment:
        configurations = CONFIGURATIONS if "switches" in self._chosen else (ON,)
        folder = self._own_folder("ours")
        for each in configurations:
            add_servable(folder / "servables", each, self._models)
        names = [each.name for each in configurations]
        if "levels" in self._chosen:
            add_fake(folder / "servables")
            names.append(FAKE.name)
        say(f"Mindserve starts with {', '.join(names)} ...")
        whole = stack.enter_context(deployed(folder, names))
        for each in configurations:
            loads = (ALONE, EQUAL, VARIED) if each is ON else (ALONE, VARIED)
            name = OURS if each is ON else each.name
            self._servers.append((Served(name, whole.url, each.name, whole.processes), loads))
        return whole

    def _start(self, stack: ExitStack, peer: GenerationPeer) -> None:
        """A server that does not start is left out."""
        environment = environment_of(peer)
        try:
            if not environment.is_installed(peer.requirements):
                say(f"{peer.name}: installing {' '.join(peer.requirements)} ...")
                environment.install(peer.requirements)
                environment.confirm(peer.requirements)
            peer.prepare(environment, self._models)
            say(f"{peer.name} starts ...")
            port = free_port()
            command = peer.start(environment, self._models, port)
            with ExitStack() as inner:
                processes = inner.enter_context(Processes([command], self._own_folder(peer.name)))
                url = f"http://127.0.0.1:{port}"
                wait_for_text(url, peer.model, processes, peer.extra)
                stack.push(inner.pop_all())
            served = Served(peer.name, url, peer.model, processes, peer.extra)
            self._servers.append((served, (ALONE, EQUAL, VARIED)))
        except CAUGHT as failure:
            self._found.failed(peer.name, failure)

    def _own_folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder


def environment_of(peer: GenerationPeer) -> Environment:
    """Peers with the same requirements share one."""
    return Environment(ROOT / ".bench" / peer.package, own=False)


def _bare_times(loop: BareLoop, loads: Loads, number: int) -> Iterator[BareTime]:
    for rows in (1, ROWS):
        count = loads.alone if rows == 1 else loads.at_once
        step_ms = loop.step_ms(rows, STEPS)
        seconds = loop.texts_seconds(rows, count)
        tokens = count * len(loads.texts[0].following)
        yield BareTime(rows, number, step_ms, tokens / seconds)
