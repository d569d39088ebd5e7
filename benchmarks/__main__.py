"""Compare servers: the same works, the same machine, interleaved rounds.

    make bench ARGS="--work a,b --peers mindserve,mosec --rounds 3 --seconds 5"

Every server is installed into an environment of its own below .bench, started on
loopback ports, asked until it answers right, loaded (closed loops by h2load over
HTTP/2 and by wrk over HTTP/1.1, open loops by a process of ours) and ended again.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks import machine, tables
from benchmarks.figures import described
from benchmarks.mindir.models import with_answer
from benchmarks.peers.catalogue import PEERS, USUAL
from benchmarks.peers.peer import Peer
from benchmarks.report import Report, add_options
from benchmarks.rounds import FAILURES, Rounds, environment_of, say
from benchmarks.works import WORKS, Work


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--work", default=",".join(WORKS), help="default: %(default)s")
    parser.add_argument(
        "--peers", default=",".join(USUAL), help=f"of {','.join(PEERS)}; default: %(default)s"
    )
    parser.add_argument(
        "--loads", default="1x1,4x4,8x8", metavar="CxS,...",
        help="connections x requests in flight on each; default: %(default)s",
    )  # fmt: skip
    parser.add_argument(
        "--rates", default="half,100,500", metavar="N,...",
        help="requests a second that arrive at random, half: of the slowest server's most; servers "
        "that cannot keep up are left out; empty for no open loop; default: %(default)s",
    )  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each load in each round")
    add_options(parser, "servers")
    parser.add_argument(
        "--section", choices=tables.SECTIONS, default="servers", help="of the page; "
        "default: %(default)s"
    )  # fmt: skip
    return parser.parse_args()


def chosen(names: str, known: dict[str, Any]) -> list[Any]:
    """The things that a comma-separated option names."""
    unknown = [each for each in names.split(",") if each not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[each] for each in names.split(",")]


def install(peers: Sequence[Peer], failures: list[str]) -> dict[str, Peer]:
    """Install what is missing; the servers that can be measured."""
    ready = {}
    for peer in peers:
        environment = environment_of(peer)
        try:
            if not environment.is_installed(peer.requirements):
                say(f"{peer.name}: installing {' '.join(peer.requirements)} ...")
                environment.install(peer.requirements)
                peer.prepare(environment)
                environment.confirm(peer.requirements)
            ready[peer.name] = peer
        except FAILURES as failure:
            failures.append(f"{peer.name}: It could not be installed.")
            say(f"{peer.name} FAILED: {failure}")
    return ready


def prepared(works: Sequence[Work], failures: list[str]) -> list[Work]:
    """The works that can be done here: some need models, which need MindSpore."""
    ready = []
    for work in works:
        try:
            ready.append(with_answer(work, say))
        except FAILURES as failure:
            failures.append(f"work {work.key}: MindSpore or its models could not be had.")
            say(f"work {work.key} FAILED: {failure}")
    return ready


def run(given: argparse.Namespace) -> int:
    failures: list[str] = []
    works = prepared(chosen(given.work, WORKS), failures)
    peers = install(chosen(given.peers, PEERS), failures)
    rounds = Rounds(peers, works, given.rounds, given.seconds, failures)
    try:
        rounds.run_closed(given.loads.split(","))
        if given.rates:
            rounds.run_open(given.rates.split(","))
    except KeyboardInterrupt:
        say("interrupted; every server was ended")
        failures.append("What came after an interruption of the run.")
    if not rounds.closed:
        return 130
    settings = {
        "seconds": given.seconds,
        "servers": {
            name: {
                "version": peer.version(environment_of(peer)),
                "protocol": peer.protocol,
                "remark": peer.remark,
            }
            for name, peer in peers.items()
        },
    }
    samples = {
        "open": [described(each) for each in rounds.opened],
        "samples": [described(each) for each in rounds.closed],
    }
    return report_of(given).publish(given, settings, failures, samples)


def report_of(given: argparse.Namespace) -> Report:
    """What a section of the page shows."""
    begin, end = tables.SECTIONS[given.section]
    return Report(
        given.section, begin, end, tables.page, has_plots=True, generators=machine.GENERATORS
    )


def main() -> int:
    given = arguments()
    return report_of(given).main(given, run)


if __name__ == "__main__":
    sys.exit(main())
