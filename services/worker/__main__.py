"""``python -m services.worker``."""

import sys

import structlog

from services.worker.app import open_worker
from services.worker.settings import WorkerSettings
from shared import lifecycle, logs, settings


def main() -> None:
    """Read the settings and run until a signal."""
    chosen = settings.load(WorkerSettings)
    logs.configure("worker", level=chosen.log_level, format=chosen.log_format)
    structlog.get_logger().info("settings", **settings.describe(chosen))
    try:
        lifecycle.run(lambda: open_worker(chosen), drain_seconds=chosen.drain_seconds)
    except OSError as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
