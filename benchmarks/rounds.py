"""Round by round, work by work, server by server; a server that fails is left out."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from benchmarks.bare_loop import bare_samples
from benchmarks.closed_loop.load import LoadFailed
from benchmarks.figures import LOOP, OpenSample, Sample, throughput
from benchmarks.measure import NotReady, open_samples, samples
from benchmarks.open_loop.child import OpenLoopFailed
from benchmarks.open_loop.schedule import resolved
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.peers.peer import Peer
from benchmarks.processes import ServerDied
from benchmarks.works import Work

FAILURES = (
    NotReady, ServerDied, LoadFailed, OpenLoopFailed, OSError, subprocess.SubprocessError,
)  # fmt: skip

Measured = TypeVar("Measured", Sample, OpenSample)


def say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def environment_of(peer: Peer) -> Environment:
    return Environment(ROOT / ".bench" / peer.name, own=not peer.requirements)


@dataclass(slots=True)
class Rounds:
    """A whole comparison, and what came out of it so far."""

    peers: Mapping[str, Peer]
    works: Sequence[Work]
    rounds: int
    seconds: float
    failures: list[str]
    closed: list[Sample] = field(default_factory=list)
    opened: list[OpenSample] = field(default_factory=list)

    def run_closed(self, layouts: Sequence[str]) -> None:
        """Keep requests in flight; before a model is served, it is called without a server."""
        for number, work, peer in self._each():
            if work.model and peer is next(iter(self.peers.values())):
                self._loop(number, work)
            for sample in self._caught(
                f"round {number}/{self.rounds}, work {work.key}, {peer.name}",
                lambda progress, n=number, w=work, p=peer: samples(
                    p, w, environment_of(p), w.layouts or layouts,
                    number=n, seconds=self.seconds, progress=progress,
                ),
            ):  # fmt: skip
                self.closed.append(sample)

    def _loop(self, number: int, work: Work) -> None:
        for sample in self._caught(
            f"round {number}/{self.rounds}, work {work.key}, {LOOP}",
            lambda progress: bare_samples(work, number=number, seconds=self.seconds),
        ):
            self.closed.append(sample)

    def run_open(self, rates: Sequence[str]) -> None:
        """Let requests arrive at random, at rates that a server can keep up with."""
        for number, work, peer in self._each():
            able = {name: throughput(self.closed, work.key, name) for name in self.peers}
            if work.is_about_layouts or not able[peer.name]:
                continue
            asked = [
                each for each in resolved(rates, filter(None, able.values()))
                if each < able[peer.name]
            ]  # fmt: skip
            for sample in self._caught(
                f"round {number}/{self.rounds}, work {work.key}, open loop, {peer.name}",
                lambda progress, n=number, w=work, p=peer, r=asked: open_samples(
                    p, w, environment_of(p), r,
                    number=n, seconds=self.seconds, progress=progress,
                ),
            ):  # fmt: skip
                self.opened.append(sample)

    def _each(self) -> Iterator[tuple[int, Work, Peer]]:
        for number in range(1, self.rounds + 1):
            for work in self.works:
                for peer in self.peers.values():
                    if not peer.refuses(work):
                        yield number, work, peer

    def _caught(
        self, where: str, measure: Callable[[Callable[[str], None]], Iterator[Measured]]
    ) -> Iterator[Measured]:
        """What is measured until something fails."""
        try:
            for sample in measure(lambda what: say(f"{where}: {what}")):
                say(f"{where}: {sample.cpu_us:.0f} us CPU, p50 {sample.p50_ms:.2f} ms, "
                    f"p99 {sample.p99_ms:.2f} ms, {sample.errors} errors")  # fmt: skip
                yield sample
        except FAILURES as failure:
            self.failures.append(f"{where}: {type(failure).__doc__}")
            say(f"{where} FAILED: {failure}")
