"""The pipeline document's claim on our services: two graphs beside one that merges them.

    python -m benchmarks.seed_000 --rounds 7 --write

GPT-3 was cut into a graph that runs once for a text and one that runs for each of its N words;
merged into one graph both ran N times. The document says that cutting made it five to six times
faster. Here a real MindSpore model has such graphs, and a pipeline of a servable calls them: the
first once and the other N times, or the merged one N times. The answers are the same, and checked.

The ideal is what the graphs' own times allow: ``N (first + step) / (first + N step)``, which goes
to ``1 + first / step`` as N grows. The graphs' times are measured by a process that does nothing
but call them, in turns with the services, so that whatever else the machine does meets both alike.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.figures import described
from benchmarks.report import Report, add_options
from benchmarks.rounds import FAILURES, say
from benchmarks.seed_graphs import tables
from benchmarks.seed_graphs.bare_graphs import BareGraphs, bare_graphs, export
from benchmarks.seed_graphs.served import Served, served
from benchmarks.seed_graphs.sizes import Sizes
from benchmarks.seed_graphs.times import GRAPHS, WAYS, OwnTime, RunTime
from benchmarks.seed_steps.client import WrongAnswer

REPORT = Report("seed_000", tables.BEGIN, tables.END, tables.page)
CALLS = 20
"""Of each graph in each round, for its own time."""
REQUESTS = 3
"""Of each way in each round."""


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed_000", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    shown = "default: %(default)s"
    parser.add_argument("--steps", default="1,10,32", help=shown)
    parser.add_argument("--pipelines", default="1,4", help="at once; " + shown)
    parser.add_argument("--rounds", type=int, default=7, help=shown)
    parser.add_argument("--words", type=int, default=Sizes().words, help=shown)
    parser.add_argument("--width", type=int, default=Sizes().width, help=shown)
    add_options(parser, REPORT.name)
    return parser.parse_args()


def measure(
    given: argparse.Namespace, own: list[OwnTime], runs: list[RunTime], failures: list[str]
) -> None:
    """As many rounds as asked for, after one that is not counted."""
    sizes = Sizes(given.words, given.width)
    rows_of = [int(each) for each in given.pipelines.split(",")]
    steps_of = [int(each) for each in given.steps.split(",")]
    try:
        with TemporaryDirectory(prefix="bench-") as folder:
            say("exporting graphs ...")
            export(Path(folder), sizes)
            with bare_graphs(Path(folder), sizes) as bare, served(Path(folder), sizes) as stack:
                for number in range(given.rounds + 1):
                    graphs = list(own_times(bare, rows_of, number))
                    found = list(run_times(stack, rows_of, steps_of if number else [1], number))
                    if number:
                        own += graphs
                        runs += found
                        say(f"round {number}: {sum(each.ms for each in found) / 1e3:.1f} s")
    except (*FAILURES, WrongAnswer) as failure:
        failures.append(type(failure).__doc__ or "")
        say(f"FAILED: {failure}")


def own_times(bare: BareGraphs, rows_of: list[int], number: int) -> Iterator[OwnTime]:
    """Each graph alone, with each number of rows."""
    for rows in rows_of:
        for graph in GRAPHS:
            yield OwnTime(graph, rows, number, bare.ms(graph, rows, CALLS))


def run_times(
    stack: Served, rows_of: list[int], steps_of: list[int], number: int
) -> Iterator[RunTime]:
    """Requests of both ways in turn; who begins changes from round to round."""
    for rows in rows_of:
        for steps in steps_of:
            for _ in range(REQUESTS):
                for way in WAYS if number % 2 else reversed(WAYS):
                    yield stack.run(way, rows, steps, number=number)


def run(given: argparse.Namespace) -> int:
    own: list[OwnTime] = []
    runs: list[RunTime] = []
    failures: list[str] = []
    measure(given, own, runs, failures)
    settings = {"words": given.words, "width": given.width}
    samples = {"own": [described(each) for each in own], "runs": [described(each) for each in runs]}
    return REPORT.publish(given, settings, failures, samples)


if __name__ == "__main__":
    sys.exit(REPORT.main(arguments(), run))
