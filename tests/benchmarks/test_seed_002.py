"""The throughput document's steps: what is ideal, what the page says, a short run of all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.figures import described
from benchmarks.seed_steps import tables
from benchmarks.seed_steps.steps import PAYLOADS, STEPS, BareTime, StepTime, Turn

ROOT = Path(__file__).resolve().parents[2]


def test_the_slower_of_workers_and_devices_sets_the_pace():
    assert [round(step.ideal_ms, 2) for step in STEPS] == [14.47, 12.32, 6.16, 2.05]
    assert [round(step.goal_ms, 2) for step in STEPS] == [15.92, 13.55, 6.78, 2.26]


def result(times=(), turns=(), bare=()):
    return {
        "date": "today", "machine": "a machine", "rounds": 1, "images": 100, "failures": ["that"],
        "steps": list(map(described, times)), "turns": list(map(described, turns)),
        "bare": list(map(described, bare)),
    }  # fmt: skip


def test_a_page_says_of_each_step_whether_its_goal_is_met():
    times = [
        StepTime("times", step, number, ms, 1.0, 0.0)
        for step, ms in ((2, 13.0), (4, 3.0))
        for number in (1, 2)
    ]
    page = tables.page(result(times))
    assert "| 2. server-side | 13.0 (13.0 to 13.0) | 12.32 | 1.055 | 13.55: met | 13.43 |" in page
    assert "| 4. two devices, four extra workers | 3.00 (3.00 to 3.00) | 2.05 | 1.461 |" in page
    assert "2.26: missed | 3.49" in page
    assert "ResNet-50 on MindSpore" not in page
    assert page.endswith("* that")


def test_a_step_stands_beside_its_bare_processes():
    times = [StepTime("times", 4, 1, 2.4, 1.0, 0.0)]
    page = tables.page(result(times, bare=[BareTime(4, number, 2.25) for number in (1, 2)]))
    assert "| 4. two devices, four extra workers | 2.25 (2.25 to 2.25) | 1.096 | 1.067 |" in page
    assert "only pipes" not in tables.page(result(times))


@pytest.mark.parametrize(("stack", "verdict"), [(9.8, "met"), (9.6, "missed")])
def test_the_real_model_is_judged_turn_by_turn(stack, verdict):
    turns = [Turn(number, 128, 10.0, stack) for number in range(3)]
    page = tables.page(result(turns=turns))
    assert f"Goal: at least 0.97: {verdict}." in page


def test_the_committed_tables_are_those_of_the_committed_result():
    path = ROOT / "benchmarks" / "results" / "seed_002.json"
    page = (ROOT / "docs" / "performance.md").read_text()
    content = tables.page(json.loads(path.read_text()))
    assert pages.put_between_markers(page, tables.BEGIN, tables.END, content) == page


@pytest.mark.timeout(150)
def test_a_short_run_of_every_step_answers_right(tmp_path):
    found = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.seed_002", "--images", "6", "--rounds", "1",
         "--turns", "0", "--result", str(found)],
        cwd=ROOT, text=True, capture_output=True, timeout=140, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    read = json.loads(found.read_text())
    times = [StepTime(**each) for each in read["steps"]]
    measured = {(each.payload, each.step) for each in times}
    assert measured == {(payload.key, step.number) for payload in PAYLOADS for step in STEPS}
    assert all(each.ms_per_image > 0 for each in times)
    bare = [BareTime(**each) for each in read["bare"]]
    # Six images of 12 ms by one worker cannot take less.
    assert {each.step for each in bare} == {step.number for step in STEPS}
    assert all(each.ms_per_image > 12 for each in bare if each.step in (1, 2))
