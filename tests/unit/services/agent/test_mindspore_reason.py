"""What clients are told of MindSpore's messages."""

import pytest

from services.agent.backends.mindspore import reason_of

RULE = "-" * 52
STACK = f"{RULE}\n- C++ Call Stack: (For framework developers)\n{RULE}\nmindspore/ccsrc/x.cc:1 F\n"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (f"shapes do not match.\n\n{STACK}", "shapes do not match."),
        (f"\n{RULE}\n- Model execution error:\n{RULE}\nIt broke.\n\n{STACK}", "It broke."),
        ("", "RuntimeError"),
    ],
)
def test_the_reason_is_the_line_that_says_what_happened(message, reason):
    assert reason_of(RuntimeError(message)) == reason
