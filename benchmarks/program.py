"""How benchmarks end: with everything that they started, whoever asks for it."""

import signal
from collections.abc import Callable

from benchmarks.processes import adopt_orphans


def until_interrupted(run: Callable[[], int]) -> int:
    """The exit status of a run; SIGINT and SIGTERM let it end its servers."""
    adopt_orphans()
    for number in (signal.SIGINT, signal.SIGTERM):
        # SIGINT too: shells have background jobs ignore it, and servers must not stay behind.
        signal.signal(number, signal.default_int_handler)
    try:
        return run()
    except KeyboardInterrupt:
        return 130
