"""How fast texts are continued, beside a bare loop of the same graphs and beside other servers.

    python -m benchmarks.generation --rounds 5 --write
    python -m benchmarks.generation load --help       a load on any server

The model is that of examples/llm, in float32. Everything is started once and takes turns: a bare
loop, our services with all improvements on and with each of them off, other servers (each
installed into an environment of its own below .bench), and the levels of our stack by themselves.
Prompts have 48 tokens and are asked alone, 16 at once for 64 tokens each, and 16 at once for 16 to
64 tokens. Every answer's status, end and length are checked, and its text is compared with the
bare loop's. The default run takes about ten minutes, after what has to be installed once.
"""

import argparse
import sys
from collections.abc import Collection

from benchmarks.figures import described
from benchmarks.generation import tables
from benchmarks.generation.load import command
from benchmarks.generation.loads import VARIED_TIMES, Loads
from benchmarks.generation.models import prepared, texts_in
from benchmarks.generation.parts import CAUGHT, Found, Parts, environment_of
from benchmarks.generation.peers.catalogue import PEERS
from benchmarks.generation.shapes import ROWS
from benchmarks.report import Report, add_options
from benchmarks.rounds import say

REPORT = Report("generation", tables.BEGIN, tables.END, tables.page, has_plots=True)
PARTS = ("bare", "switches", "levels")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    shown = "default: %(default)s"
    parser.add_argument("--rounds", type=int, default=5, help=shown)
    parser.add_argument(
        "--peers", default=",".join(PEERS), help=f"of {','.join(PEERS)}, or empty; {shown}"
    )
    parser.add_argument("--parts", default=",".join(PARTS), help=f"or empty; {shown}")
    parser.add_argument(
        "--alone", type=int, default=4, help=f"texts one after the other in a round; {shown}"
    )
    parser.add_argument(
        "--at-once", type=int, default=2 * ROWS, help=f"texts of a load of 16 at once; {shown}"
    )
    add_options(parser, REPORT.name)
    given = parser.parse_args()
    given.peers = named(parser, given.peers, PEERS)
    given.parts = named(parser, given.parts, PARTS)
    return given


def named(parser: argparse.ArgumentParser, names: str, known: Collection[str]) -> list[str]:
    """What a comma-separated option names."""
    chosen = [each for each in names.split(",") if each]
    if unknown := [each for each in chosen if each not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def measure(given: argparse.Namespace, found: Found) -> None:
    """As many rounds as asked for, after one that is not counted."""
    peers = [PEERS[name] for name in given.peers]
    try:
        models = prepared(say)
        loads = Loads(texts_in(models), given.alone, given.at_once)
        with Parts(models, loads, peers, given.parts, found) as parts:
            for number in range(given.rounds + 1):
                say(f"round {number} of {given.rounds}")
                parts.measure(number)
    except CAUGHT as failure:
        found.failed("the run", failure)


def run(given: argparse.Namespace) -> int:
    found = Found()
    try:
        measure(given, found)
    except KeyboardInterrupt:
        say("interrupted; every server was ended")
        found.failures.append("What came after an interruption of the run.")
    if not found.served:
        return 1
    settings = {
        "alone": given.alone,
        "at_once": given.at_once,
        "varied": VARIED_TIMES * given.at_once,
        "peers": {
            name: {
                "version": environment_of(PEERS[name]).version_of(PEERS[name].package),
                "remark": PEERS[name].remark,
            }
            for name in given.peers
            if any(each.server == name for each in found.served)
        },
    }
    samples = {
        "bare": [described(each) for each in found.bare],
        "served": [described(each) for each in found.served],
        "levels": [described(each) for each in found.levels],
    }
    return REPORT.publish(given, settings, found.failures, samples)


def main() -> int:
    if sys.argv[1:2] == ["load"]:
        return command.main(sys.argv[2:])
    return REPORT.main(arguments(), run)


if __name__ == "__main__":
    sys.exit(main())
