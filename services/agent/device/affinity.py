"""Keeps this process on some of the host's cores."""

import os
from collections.abc import Collection

from services.agent.cores import run_on
from shared.errors import LoadFailed


def stay_on(cores: Collection[int]) -> None:
    """Run every thread of this process, and those to come, on these cores alone.

    Raises LoadFailed naming the cores that this process may not use.
    """
    allowed = os.sched_getaffinity(0)
    if missing := sorted(set(cores) - allowed):
        raise LoadFailed(
            f"thread_affinity_core_list: there is no core {', '.join(map(str, missing))} here,"
            f" only {', '.join(map(str, sorted(allowed)))}"
        )
    run_on(cores)
