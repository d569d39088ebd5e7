"""``python -m services.master``."""

import sys

import structlog

from services.master.app import open_master
from services.master.settings import MasterSettings
from shared import lifecycle, logs, settings


def main() -> None:
    """Read the settings and run until a signal."""
    chosen = settings.load(MasterSettings)
    logs.configure("master", level=chosen.log_level, format=chosen.log_format)
    structlog.get_logger().info("settings", **settings.describe(chosen))
    try:
        lifecycle.run(lambda: open_master(chosen), drain_seconds=chosen.drain_seconds)
    except OSError as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
