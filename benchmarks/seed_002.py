"""The throughput document's four steps on our services, beside its figures and the ideal.

    python -m benchmarks.seed_002 --rounds 3 --write

The document labels 100 images a request with ResNet-50 and moves work around: the client
preprocesses; the server does; two devices; two devices and four extra workers for Python.
Here the same stages take the same times on the ``reference`` backend: preprocess 12 ms that
do not hold a core, device 2.15 ms, postprocess 0.32 ms that do. The services are real
processes; ``--stage-processes`` is the document's number of workers, 1, 2 and 6.

The ideal of a step is a pipeline whose stages overlap perfectly and whose other costs are
nothing. A worker process runs one function at a time and each image needs 12.32 ms of one,
a device takes one image at a time for 2.15 ms; the slower of both sets the pace:
``max(12.32 / workers, 2.15 / devices)``, so 12.32, 6.16 and 2.05 ms per image. In the first
step the script itself preprocesses all images, sends one request and postprocesses, so
nothing overlaps: ``12.32 + 2.15``. The ideal knows no first and no last image: with 6 workers
the last ones of 100 leave some idle, and that counts against us. So do sleeps that end late and
processes that wait for a core: what the same processes take with only pipes between them is
measured beside it, in the same rounds.

Afterwards the real ResNet-50 is called by a bare loop and by way of all services, in turns.
"""

import argparse
import sys

from benchmarks.figures import described
from benchmarks.report import Report, add_options
from benchmarks.rounds import FAILURES, say
from benchmarks.seed_steps import tables
from benchmarks.seed_steps.bare import bare_times
from benchmarks.seed_steps.client import WrongAnswer, step_times
from benchmarks.seed_steps.real import turns
from benchmarks.seed_steps.steps import (
    IMAGES,
    PAYLOADS,
    STEPS,
    BareTime,
    Step,
    StepTime,
    Turn,
)

REPORT = Report("seed_002", tables.BEGIN, tables.END, tables.page)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.seed_002", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    shown = "default: %(default)s"
    parser.add_argument("--steps", default="1,2,3,4", help=shown)
    parser.add_argument("--payloads", default=",".join(each.key for each in PAYLOADS), help=shown)
    parser.add_argument("--images", type=int, default=IMAGES, help="of a request; " + shown)
    parser.add_argument("--rounds", type=int, default=3, help=shown)
    parser.add_argument("--turns", type=int, default=6, help="of the real model; " + shown)
    parser.add_argument("--turn-images", type=int, default=128, help=shown)
    add_options(parser, REPORT.name)
    return parser.parse_args()


def measure_steps(
    given: argparse.Namespace, found: list[StepTime], bare: list[BareTime], failures: list[str]
) -> None:
    """Every step with every payload, and its bare processes, in interleaved rounds."""
    wanted = [int(each) for each in given.steps.split(",")]
    for number in range(1, given.rounds + 1):
        for payload in PAYLOADS:
            for step in STEPS:
                if step.number not in wanted or payload.key not in given.payloads.split(","):
                    continue
                where = f"round {number}, {payload.key}, step {step.number}"
                try:
                    for each in step_times(step, payload, given.images, number=number):
                        found.append(each)
                        say(f"{where}: {each.ms_per_image:.2f} ms, ideal {step.ideal_ms:.2f}")
                except (*FAILURES, WrongAnswer) as failure:
                    failures.append(f"{where}: {type(failure).__doc__}")
                    say(f"{where} FAILED: {failure}")
        for step in STEPS:
            if step.number in wanted:
                measure_bare(given, step, number, bare)


def measure_bare(given: argparse.Namespace, step: Step, number: int, found: list[BareTime]) -> None:
    """The processes of a step alone."""
    for each in bare_times(step, given.images, number=number):
        found.append(each)
        say(f"round {number}, bare processes, step {step.number}: {each.ms_per_image:.2f} ms")


def measure_turns(given: argparse.Namespace, found: list[Turn], failures: list[str]) -> None:
    """The real model, where MindSpore can be had."""
    try:
        for turn in turns(given.turns, given.turn_images) if given.turns else ():
            found.append(turn)
            say(f"turn {turn.round}: {turn.stack_per_second:.2f} of {turn.loop_per_second:.2f}")
    except (*FAILURES, WrongAnswer) as failure:
        failures.append(f"ResNet-50: {type(failure).__doc__}")
        say(f"ResNet-50 FAILED: {failure}")


def run(given: argparse.Namespace) -> int:
    times: list[StepTime] = []
    bare: list[BareTime] = []
    loops: list[Turn] = []
    failures: list[str] = []
    measure_steps(given, times, bare, failures)
    measure_turns(given, loops, failures)
    samples = {
        "steps": [described(each) for each in times],
        "bare": [described(each) for each in bare],
        "turns": [described(each) for each in loops],
    }
    return REPORT.publish(given, {"images": given.images}, failures, samples)


if __name__ == "__main__":
    sys.exit(REPORT.main(arguments(), run))
