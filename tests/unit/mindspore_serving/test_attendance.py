"""What a script does about its services: what it decides, and its one setting."""

from dataclasses import dataclass

import pytest

from mindspore_serving.server.attendance import can_be_called, hang_seconds


@dataclass
class Service:
    """One that was started."""

    service: str
    part: str = ""
    left: bool = False


def script(text):
    """``worker:a agent:a- master``: of which servable; a minus: it was told to end."""
    return [
        Service(service, part.rstrip("-"), each.endswith("-"))
        for each in text.split()
        for service, _, part in [each.rstrip("-").partition(":")]
    ]


@pytest.mark.parametrize(
    ("services", "answer"),
    [
        ("", True),
        ("master", True),
        ("master-", False),
        ("master- master", True),
        # Of a script that joins the master of another one.
        ("worker:a agent:a", True),
        ("worker:a- agent:a", False),
        ("worker:a agent:a-", False),
        ("worker:a agent:a- agent:a", True),
        ("master worker:a agent:a", True),
        ("master- worker:a agent:a", False),
        ("master worker:a- agent:a worker:b agent:b", True),
        ("master worker:a- agent:a worker:b agent:b-", False),
    ],
)
def test_a_script_is_of_use_while_somebody_can_be_answered(services, answer):
    assert can_be_called(script(services)) is answer


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("2.5", 2.5), ("300", 300.0)])
def test_how_long_a_service_may_not_answer_can_be_chosen(monkeypatch, text, seconds):
    monkeypatch.delenv("MINDSERVE_SCRIPT_HANG_SECONDS", raising=False)
    assert hang_seconds() == 60.0
    monkeypatch.setenv("MINDSERVE_SCRIPT_HANG_SECONDS", text)
    assert hang_seconds() == seconds


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "a minute"])
def test_what_is_no_time_is_refused_with_its_name(monkeypatch, text):
    monkeypatch.setenv("MINDSERVE_SCRIPT_HANG_SECONDS", text)
    with pytest.raises(RuntimeError, match=f"MINDSERVE_SCRIPT_HANG_SECONDS .* '{text}'"):
        hang_seconds()
