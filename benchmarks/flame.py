"""Flame graphs of our services under load, drawn by py-spy.

    python -m benchmarks.flame [--work a] [--load 1x1] [--seconds 10] [--folder .bench/flame]

py-spy is installed into an environment of its own below .bench. One SVG for each process, named
after it; the width of a frame is its share of the time in which its process was busy.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import cast

import psutil

from benchmarks.layout import Layout
from benchmarks.measure import running
from benchmarks.peers.catalogue import PEERS
from benchmarks.peers.environment import ROOT, Environment
from benchmarks.processes import adopt_orphans
from benchmarks.rounds import environment_of, say
from benchmarks.works import WORKS, Work

REQUIREMENTS = ("py-spy==0.4.1",)
SAMPLES_A_SECOND = 500
SERVICES = {
    "services.master": "master",
    "services.worker": "worker",
    "services.agent": "agent",
    "services.agent.device": "device",
}


def spy() -> str:
    """Where py-spy is, installed if need be."""
    environment = Environment(ROOT / ".bench" / "py-spy", own=False)
    if not environment.is_installed(REQUIREMENTS):
        say(f"installing {' '.join(REQUIREMENTS)} ...")
        environment.install(REQUIREMENTS)
        environment.confirm(REQUIREMENTS)
    return environment.program("py-spy")


def service_of(arguments: list[str]) -> str:
    """(pure) Which service a command line started; empty: none of ours."""
    if "-m" not in arguments[:-1]:
        return ""
    return SERVICES.get(arguments[arguments.index("-m") + 1], "")


def titled(drawing: str, title: str) -> str:
    """(pure) A drawing with a title that says what it shows: py-spy's own is its command line."""
    return re.sub(
        r'(<text id="title"[^>]*>)[^<]*', lambda found: f"{found[1]}{title}", drawing, count=1
    )


def draw(work: Work, layout: Layout, seconds: int, folder: Path) -> None:
    """Load a server and sample each of its processes meanwhile."""
    program = spy()
    folder.mkdir(parents=True, exist_ok=True)
    peer = PEERS["mindserve"]
    say(f"work {work.key}, {layout} in flight, {seconds} s")
    with running(peer, work, environment_of(peer)) as server:
        load = server.load(layout)
        load.warm_up(seconds + 2)
        spies: dict[Path, subprocess.Popen[bytes]] = {}
        for process in psutil.Process().children(recursive=True):
            name = service_of(process.cmdline())
            if name:
                target = folder / f"{name}-{work.key}-{layout}.svg"
                spies[target] = subprocess.Popen(
                    [program, "record", "--rate", str(SAMPLES_A_SECOND), "--duration",
                     str(seconds), "--function", "--output", str(target),
                     "--pid", str(process.pid)],
                    stdout=subprocess.DEVNULL,
                )  # fmt: skip
        load.run(seconds + 2)
        ended = [each.wait(60) for each in spies.values()]
        if any(ended) or not ended:
            sys.exit(f"py-spy ended with {ended}; it needs the right to trace processes")
    for target in spies:
        name = target.stem.partition("-")[0]
        title = f"{name}: work {work.key}, {layout} in flight, {seconds} s"
        target.write_text(titled(target.read_text(), title))
    say(f"drawn into {folder}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.flame", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--work", choices=WORKS, default="a")
    parser.add_argument("--load", type=Layout.parse, default=Layout(1, 1), metavar="CxS")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench" / "flame")
    given = parser.parse_args()
    adopt_orphans()
    draw(WORKS[given.work], cast("Layout", given.load), given.seconds, given.folder)


if __name__ == "__main__":
    main()
