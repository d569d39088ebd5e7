"""``python -m benchmarks.generation load``: a load on any server that speaks OpenAI's dialect.

    python -m benchmarks.generation load --url http://127.0.0.1:1500 --model llm --concurrency 16
    python -m benchmarks.generation load --url http://127.0.0.1:1500 --model llm --rate 8 \\
        --seconds 60 --result load.json --plot

With --concurrency requests are kept in flight (a closed loop), with --rate they arrive at random
moments, independent of another (an open loop: Poisson). All are streamed and greedy, each over a
connection of its own. Of every answer status, events and finish_reason are checked; times run from
the moment that was meant for its request. OPENAI_API_KEY, if it is set, is sent as the key.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, pages
from benchmarks.generation.load.measured import Measured, run_load
from benchmarks.generation.load.order import Asked, Order, WrongOrder, made_prompts
from benchmarks.generation.load.summary import table

TOLD_SECONDS = 2.0
"""Between two lines about how far it is."""


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generation load", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    shown = "default: %(default)s"
    parser.add_argument("--url", required=True, help="of the server, with or without /v1")
    parser.add_argument("--model", required=True)
    kind = parser.add_mutually_exclusive_group(required=True)
    kind.add_argument("--concurrency", type=int, default=0, help="requests in flight")
    kind.add_argument("--rate", type=float, default=0.0, help="requests a second that arrive")
    parser.add_argument("--requests", type=int, default=64, help=shown)
    parser.add_argument(
        "--seconds", type=float, default=0.0,
        help="with --rate: how long requests arrive, whatever --requests says",
    )  # fmt: skip
    parser.add_argument("--warm-requests", type=int, default=1, help=f"before; {shown}")
    parser.add_argument("--prompts", type=Path, help="a file with a prompt in each line")
    parser.add_argument("--prompt-words", type=int, default=32, help=f"of made ones; {shown}")
    parser.add_argument("--max-tokens", type=int, default=64, help=shown)
    parser.add_argument("--seed", type=int, default=1, help=f"of prompts, arrivals; {shown}")
    parser.add_argument("--chat", action="store_true", help="/v1/chat/completions")
    parser.add_argument(
        "--extra", type=json.loads, default={}, metavar="JSON",
        help="more fields of each request; null takes one away",
    )  # fmt: skip
    parser.add_argument(
        "--must-reach-length", action="store_true", help="an answer that ends sooner is an error"
    )
    parser.add_argument("--timeout", type=float, default=120.0, help=f"seconds; {shown}")
    parser.add_argument("--result", type=Path, help="a JSON file with every answer")
    parser.add_argument("--plot", action="store_true", help="RESULT-load.svg, beside the result")
    return parser.parse_args(argv)


def order_of(given: argparse.Namespace) -> Order:
    """Raises WrongOrder, OSError."""
    requests = given.requests
    if given.rate and given.seconds:
        # More never arrive in so long.
        requests = int(given.rate * given.seconds * 2) + 100
    if given.prompts:
        prompts = [line for line in given.prompts.read_text().splitlines() if line.strip()]
    else:
        prompts = list(made_prompts(min(requests, 10_000), given.prompt_words, given.seed))
    return Order(
        url=given.url, model=given.model,
        asked=tuple(Asked(prompt, given.max_tokens) for prompt in prompts),
        requests=requests, concurrency=given.concurrency, rate=given.rate,
        seconds=given.seconds, warm_requests=given.warm_requests, seed=given.seed,
        chat=given.chat, must_reach_length=given.must_reach_length, extra=given.extra,
        timeout_seconds=given.timeout,
    )  # fmt: skip


class _Told:
    """Says how far a load is, not too often."""

    def __init__(self) -> None:
        self._due = time.monotonic() + TOLD_SECONDS

    def __call__(self, ended: int) -> None:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + TOLD_SECONDS
            print(f"{ended} answers ...", file=sys.stderr, flush=True)


def result_of(given: argparse.Namespace, measured: Measured) -> dict[str, Any]:
    """What is kept: the summary, and every answer with its gaps in milliseconds."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "generator": machine.described(),
        "url": given.url,
        "model": given.model,
        "concurrency": given.concurrency,
        "rate": given.rate,
        "max_tokens": given.max_tokens,
        "summary": measured.summary.described(),
        "answers": [
            {
                "late_ms": round(1e3 * each.late, 3),
                "first_ms": round(1e3 * each.first, 3),
                "took_ms": round(1e3 * each.took, 3),
                "tokens": each.tokens,
                "error": each.error,
                "gaps_ms": [round(1e3 * gap, 2) for gap in each.gaps],
            }
            for each in measured.answers
        ],
    }


def main(argv: Sequence[str]) -> int:
    """The exit status: 1 when an answer was wrong."""
    given = arguments(argv)
    key = os.environ.get("OPENAI_API_KEY", "")
    try:
        order = order_of(given)
    except (WrongOrder, OSError) as failure:
        sys.exit(str(failure))
    if given.plot and not given.result:
        sys.exit("--plot draws beside --result, which is missing")
    measured = run_load(order, {"authorization": f"Bearer {key}"} if key else {}, _Told())
    print(table(measured.summary))
    if given.result:
        pages.save(result_of(given, measured), given.result)
    if given.plot:
        pages.draw(given.result)
    return 1 if measured.summary.errors else 0
