"""What holds for every test."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_configure() -> None:
    """Shells have background jobs ignore SIGINT, and the scripts that tests start would too."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Folders of tests: those whose files take longest come first, and those that look at the time
# last, when what runs beside them takes least of the machine.
_ORDER = ("deploy", "examples", "device", "compat", "cluster", "benchmarks", "contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes of pytest-xdist take the next file each: they shall end together."""
    tests = Path(__file__).parent
    rank = {name: number for number, name in enumerate(_ORDER)}
    items.sort(key=lambda item: rank.get(item.path.relative_to(tests).parts[0], len(_ORDER)))


@pytest.fixture(autouse=True)
def no_blocking_calls() -> Iterator[None]:
    """A blocking call of ours on the event loop fails the test that caused it."""
    with blockbuster_ctx(["shared", "services"]) as guard:
        # Starting a thread takes a lock for a moment, and asyncio starts one per child process.
        guard.functions["threading.Lock.acquire"].deactivate()
        # Services import what their settings ask for while they start, before they serve anybody.
        for function in guard.functions.values():
            function.can_block_in("shared/wire/wires.py", {"wire_named"})
            function.can_block_in("services/master/app.py", {"_serve_rest", "_serve_admin_rest"})
        yield


@pytest.fixture(scope="session")
def mindir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of MINDIR files, exported by MindSpore in a process of its own."""
    folder = tmp_path_factory.mktemp("mindir")
    subprocess.run([sys.executable, "-m", "tests.device.models", str(folder)], check=True)
    return folder
