"""``python -m services.agent``."""

import sys

import structlog

from services.agent.app import open_agent
from services.agent.settings import AgentSettings
from shared import lifecycle, logs, settings


def main() -> None:
    """Read the settings and run until a signal."""
    chosen = settings.load(AgentSettings)
    logs.configure("agent", level=chosen.log_level, format=chosen.log_format)
    structlog.get_logger().info("settings", **settings.describe(chosen))
    try:
        lifecycle.run(lambda: open_agent(chosen), drain_seconds=chosen.drain_seconds)
    except OSError as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main()
