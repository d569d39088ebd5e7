"""Two graphs beside a merged one: what is ideal, what the page says, a short run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.figures import described
from benchmarks.seed_graphs import tables
from benchmarks.seed_graphs.times import OwnTime, RunTime, ideal_ratio

ROOT = Path(__file__).resolve().parents[2]


def test_two_graphs_gain_what_the_first_one_costs_beside_the_other():
    assert ideal_ratio(20.0, 4.0, 1) == 1
    assert ideal_ratio(20.0, 4.0, 10) == 240 / 60
    assert ideal_ratio(20.0, 4.0, 10**9) == pytest.approx(1 + 20 / 4)


def result(runs):
    own = [
        OwnTime(graph, 1, number, ms)
        for number in (1, 2)
        for graph, ms in (("first", 20.0), ("step", 4.0), ("merged", 24.0))
    ]
    return {
        "date": "today", "machine": "a machine", "rounds": 2, "words": 64, "width": 1024,
        "failures": ["that"], "own": list(map(described, own)), "runs": list(map(described, runs)),
    }  # fmt: skip


def test_a_page_sets_the_ratio_of_each_round_beside_the_ideal_one():
    runs = [
        RunTime(way, 1, 10, number, ms, 0.0)
        for number, way, ms in (
            (1, "apart", 70.0), (1, "merged", 245.0), (2, "apart", 80.0), (2, "merged", 240.0),
        )
    ]  # fmt: skip
    page = tables.page(result(runs))
    assert "| 1 | 20.0 (20.0 to 20.0) | 4.00 (4.00 to 4.00) | 24.0 (24.0 to 24.0) |" in page
    assert (
        "| 1 | 10 | 75.0 (70.0 to 80.0) | 242 (240 to 245) | 3.25 (3.00 to 3.50) "
        "| 4.00 (4.00 to 4.00) | 0.81 |"
    ) in page
    assert page.endswith("* that")


def test_the_committed_tables_are_those_of_the_committed_result():
    path = ROOT / "benchmarks" / "results" / "seed_000.json"
    page = (ROOT / "docs" / "performance.md").read_text()
    content = tables.page(json.loads(path.read_text()))
    assert pages.put_between_markers(page, tables.BEGIN, tables.END, content) == page


@pytest.mark.mindspore
@pytest.mark.timeout(200)
def test_a_short_run_of_both_ways_answers_right(tmp_path):
    found = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.seed_000", "--rounds", "1", "--steps", "1,3",
         "--pipelines", "1,2", "--words", "4", "--width", "16", "--result", str(found)],
        cwd=ROOT, text=True, capture_output=True, timeout=180, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [RunTime(**each) for each in json.loads(found.read_text())["runs"]]
    measured = {(each.way, each.rows, each.steps) for each in runs}
    assert measured == {(way, n, s) for way in ("apart", "merged") for n in (1, 2) for s in (1, 3)}
    assert all(each.ms > 0 for each in runs)
