"""``python -m tests.fuzz SECONDS``: fuzz for so long, then say what came.

Every target in turn: mostly traffic drawn from a seed (which ``--replay TARGET --seed N`` draws
again), one round in ten searched by hypothesis. ``--atheris TARGET`` is guided by coverage
instead; it needs the package ``atheris``. Ends with status 1 when something failed.
"""

import argparse
import logging
import random
import sys
import tempfile
import time
import traceback
import zlib
from contextlib import ExitStack
from pathlib import Path

import hypothesis
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.tally import Tally
from tests.fuzz.targets import NAMES, Fuzz, target
from tests.fuzz.traffic import Spent

_MOST_SHOWN = 5
_SEEDS_A_ROUND, _SEARCHES_A_ROUND = 500, 50
_CORPUS, _LONGEST_INPUT = 300, 4096


def main() -> int:
    """Fuzz, say what came, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replay", choices=NAMES)
    parser.add_argument("--atheris", choices=NAMES)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if arguments.replay:
        with target(arguments.replay) as fuzz:
            fuzz(random.Random(arguments.seed), Tally())
    elif arguments.atheris:
        guided(arguments.atheris, arguments.seconds)
    else:
        return drawn(arguments.seconds, arguments.seed)
    return 0


def drawn(seconds: float, seed: int) -> int:
    """Every target in turn."""
    until = time.monotonic() + seconds
    tallies = {name: Tally() for name in NAMES}
    with ExitStack() as stack:
        fuzzes = {name: stack.enter_context(target(name)) for name in NAMES}
        while time.monotonic() < until:
            for name, fuzz in fuzzes.items():
                for each in range(seed, seed + _SEEDS_A_ROUND):
                    if time.monotonic() >= until:
                        break
                    _draw(name, fuzz, each, tallies[name])
                else:
                    _search(name, fuzz, seed, tallies[name])
            seed += _SEEDS_A_ROUND
    for name, tally in tallies.items():
        print(f"{name}: {tally}")
    return 1 if any(tally.failures for tally in tallies.values()) else 0


def _draw(name: str, fuzz: Fuzz, seed: int, tally: Tally) -> None:
    try:
        fuzz(random.Random(seed), tally)
    except Exception:
        _fail(f"--replay '{name}' --seed {seed}", tally)


def _search(name: str, fuzz: Fuzz, seed: int, tally: Tally) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=_SEARCHES_A_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def searched(rng: random.Random) -> None:
        fuzz(rng, tally)

    try:
        searched()
    except Exception:
        _fail(f"{name}: found by hypothesis with seed {seed}", tally)


def _fail(where: str, tally: Tally) -> None:
    tally.failures += 1
    if tally.failures <= _MOST_SHOWN:
        print(where, file=sys.stderr)
        traceback.print_exc()


def guided(name: str, seconds: float) -> None:
    """One target under atheris, which ends the process at the first failure."""
    import atheris  # noqa: PLC0415  only here

    tally = Tally()
    with tempfile.TemporaryDirectory() as corpus, target(name) as fuzz:
        for seed in range(_CORPUS):
            data = random.Random(seed).randbytes(_LONGEST_INPUT)
            (Path(corpus) / str(seed)).write_bytes(data)

        def once(data: bytes) -> None:
            fuzz(Spent(data, zlib.crc32(data)), tally)
            if tally.connections % 5000 == 0:
                print(f"{name}: {tally}", flush=True)

        atheris.instrument_all()
        limits = (f"-max_total_time={int(seconds)}", f"-max_len={_LONGEST_INPUT}")
        atheris.Setup([sys.argv[0], *limits, "-len_control=0", "-rss_limit_mb=2048", corpus], once)
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
