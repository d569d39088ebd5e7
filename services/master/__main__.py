"""``python -m services.master``: run the front door."""

import structlog

from services.master.app import open_master
from services.master.settings import MasterSettings
from shared import lifecycle, logs
from shared import settings as shared_settings


def main() -> None:
    """Read settings, run until a signal, drain."""
    settings = shared_settings.load(MasterSettings)
    logs.configure("master", level=settings.log_level, format=settings.log_format)
    structlog.get_logger().info("settings", **shared_settings.describe(settings))
    lifecycle.run(lambda: open_master(settings), drain_seconds=settings.drain_seconds)


if __name__ == "__main__":
    main()
