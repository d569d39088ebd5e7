"""``python -m services.worker``."""

import os
import sys

import structlog

from services.worker.app import open_worker
from services.worker.settings import WorkerSettings
from shared import lifecycle, logs, settings
from shared.errors import LoadFailed


def main() -> None:
    """Read the settings, run until a signal, drain."""
    chosen = settings.load(WorkerSettings)
    logs.configure("worker", level=chosen.log_level, format=chosen.log_format)
    structlog.get_logger().info("settings", **settings.describe(chosen))
    try:
        lifecycle.run(lambda: open_worker(chosen), drain_seconds=chosen.drain_seconds)
    except (OSError, LoadFailed) as failure:
        sys.exit(str(failure))
    # A stage function that never returns would hold the interpreter's own exit.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
