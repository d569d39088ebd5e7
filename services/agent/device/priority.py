"""Work that yields to other processes."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

# About a tenth of a busy core, all of an idle one.
_NICENESS = 10

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def behind_others(
    function: Callable[Parameters, Returned], *args: Parameters.args, **kwargs: Parameters.kwargs
) -> Returned:
    """Call ``function`` on a thread of low priority and wait for it.

    Linux keeps a priority per thread, and without privileges it never rises again:
    so importing and loading, one thread at full speed, happen there, while threads
    that execute models are born from this one.
    """
    with ThreadPoolExecutor(1, initializer=_be_nice) as loading:
        return loading.submit(function, *args, **kwargs).result()


def _be_nice() -> None:
    thread = threading.get_native_id()
    # An agent may have been started as nicer still, which nobody without privileges takes back.
    niceness = max(_NICENESS, os.getpriority(os.PRIO_PROCESS, thread))
    os.setpriority(os.PRIO_PROCESS, thread, niceness)
