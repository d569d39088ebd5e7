"""How Mindserve's cost grows.

    make bench-scaling ARGS="--parts callers,payload --rounds 1"

Parts: callers, workers (simulated), payload, idle (memory of connections that do
nothing), flat (a long run, and a leaking server that must be called growing).
"""

import argparse
import resource
import sys
from collections.abc import Iterator

from benchmarks.figures import described
from benchmarks.peers.mindserve import Mindserve
from benchmarks.report import Report, add_options
from benchmarks.rounds import FAILURES, say
from benchmarks.scaling import tables
from benchmarks.scaling.flat import flat
from benchmarks.scaling.idle import idle
from benchmarks.scaling.loads import callers, payload, workers
from benchmarks.scaling.peers import LeakingMindserve
from benchmarks.scaling.points import Found, Idle, Moment, Point

REPORT = Report(
    "scaling", tables.BEGIN, tables.END, tables.page, has_plots=True, generators=["h2load"]
)
PARTS = ("callers", "workers", "payload", "idle", "flat")
MOST_FILES = 8192


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scaling", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    shown = "default: %(default)s"
    parser.add_argument("--parts", default=",".join(PARTS), help=shown)
    parser.add_argument("--wires", default="grpcio,native", help=shown)
    parser.add_argument("--callers", type=numbers, default="1,4,16,64,256,1000", help=shown)
    parser.add_argument("--workers", type=numbers, default="1,3,10,30,100", help=shown)
    parser.add_argument(
        "--bytes", type=numbers, default="1024,16384,262144,4194304,67108864", help=shown
    )
    parser.add_argument("--connections", type=int, default=1000, help="idle ones; " + shown)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the flat run; " + shown)
    parser.add_argument("--control-minutes", type=float, default=2.0, help=shown)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds; " + shown)
    parser.add_argument("--rounds", type=int, default=3, help="of all but flat; " + shown)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load; " + shown)
    add_options(parser, REPORT.name)
    return parser.parse_args()


def found_in(given: argparse.Namespace, part: str, wire: str, number: int) -> Iterator[Found]:
    """What one part finds on one wire in one round."""

    def tell(what: str) -> None:
        say(f"round {number}, {part}, {wire}: {what}")

    if part == "callers":
        yield from callers(wire, given.callers, number, given.seconds, tell)
    elif part == "workers":
        yield from workers(wire, given.workers, number, given.seconds, tell)
    elif part == "payload":
        yield from payload(wire, given.bytes, number, given.seconds, tell)
    elif part == "idle":
        yield idle(wire, given.connections, number, tell)
    elif number == 1:
        yield from flat(
            Mindserve("mindserve", wire), wire, 60 * given.minutes, given.interval, tell
        )
        if wire == given.wires.split(",")[-1]:
            control = LeakingMindserve("leaking", wire)
            yield from flat(
                control, "leaking", 60 * given.control_minutes, given.interval / 2, tell
            )


def measure(given: argparse.Namespace, found: list[Found], failures: list[str]) -> None:
    """Everything asked for, in interleaved rounds."""
    for number in range(1, given.rounds + 1):
        for part in given.parts.split(","):
            for wire in given.wires.split(","):
                try:
                    found.extend(found_in(given, part, wire, number))
                except FAILURES as failure:
                    failures.append(f"round {number}, {part}, {wire}: {type(failure).__doc__}")
                    say(f"{failures[-1]} {failure}")


def run(given: argparse.Namespace) -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, MOST_FILES)), hard))
    found: list[Found] = []
    failures: list[str] = []
    try:
        measure(given, found, failures)
    except KeyboardInterrupt:
        failures.append("What came after an interruption of the run.")
    if not found:
        return 130
    kinds = {"points": Point, "idle": Idle, "moments": Moment}
    samples = {
        key: [described(each) for each in found if isinstance(each, kind)]
        for key, kind in kinds.items()
    }
    return REPORT.publish(given, {"seconds": given.seconds}, failures, samples)


def main() -> int:
    given = arguments()
    if unknown := set(given.parts.split(",")) - set(PARTS):
        sys.exit(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return REPORT.main(given, run)


if __name__ == "__main__":
    sys.exit(main())
