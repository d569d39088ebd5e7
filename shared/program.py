"""What every ``python -m services.*`` does: settings, logs, run until a signal."""

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog

from shared import lifecycle, logs, settings
from shared.allocator import keep_large_blocks
from shared.errors import LoadFailed
from shared.settings import ServiceSettings

Chosen = TypeVar("Chosen", bound=ServiceSettings)


def run_service(
    settings_class: type[Chosen],
    open_service: Callable[[Chosen], AbstractAsyncContextManager[lifecycle.Drainable]],
) -> None:
    """Read the settings, print them, run until told to stop.

    Ends the process with status 2 for unusable settings and 1 when the service
    cannot start, the reason on standard error.
    """
    chosen = settings.load(settings_class)
    keep_large_blocks()
    logs.configure(chosen.service, level=chosen.log_level, format=chosen.log_format)
    structlog.get_logger().info("settings", **settings.describe(chosen))
    try:
        lifecycle.run(
            lambda: open_service(chosen),
            drain_seconds=chosen.drain_seconds,
            stop_with_stdin=chosen.stop_with_stdin,
        )
    except (OSError, LoadFailed) as failure:
        sys.exit(f"{chosen.service}: {failure}")
