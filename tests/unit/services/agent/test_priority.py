"""Loading behind other processes, whatever the priority of the agent."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os
from services.agent.device.priority import behind_others

def niceness():
    return os.getpriority(os.PRIO_PROCESS, 0)

os.nice(max(0, int(os.environ["ALREADY"]) - niceness()))
print(behind_others(niceness), niceness())
"""


@pytest.mark.parametrize("already", [9, 15])
def test_loading_is_never_less_nice_than_what_comes_after_it(already):
    already = max(already, os.getpriority(os.PRIO_PROCESS, 0))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"ALREADY": str(already)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == [str(max(already, 10)), str(already)]
