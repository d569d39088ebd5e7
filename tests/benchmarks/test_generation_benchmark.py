"""How fast texts are continued: configurations, tables, a short run on the reference backend."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import pages
from benchmarks.figures import described
from benchmarks.generation import tables
from benchmarks.generation.configurations import CONFIGURATIONS, ON
from benchmarks.generation.deployment import deployed
from benchmarks.generation.levels import fake, scheduler
from benchmarks.generation.loads import ALONE, EQUAL, VARIED, Loads
from benchmarks.generation.shapes import NEW_TOKENS, ROWS, Shape, Text, varied_lengths
from benchmarks.generation.times import OURS, BareTime, LevelTime, ServedTime, ratio
from services.worker.generation.buckets import Bucket
from services.worker.generation.rules import SchedulerRules

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("each", CONFIGURATIONS, ids=lambda each: each.name)
def test_every_configuration_has_the_graphs_that_it_needs(each):
    said = {"slots": ROWS, **each.changed}
    rules = {key: said[key] for key in ("slots", "max_prefill_batch", "continuous") if key in said}
    SchedulerRules(
        context=256, blocks=256, token_budget=1024,
        prefill_buckets=tuple(Bucket(*shape) for shape in each.prefill),
        decode_buckets=tuple(Bucket(*shape) for shape in each.decode), **rules,
    )  # fmt: skip
    assert each.name.isidentifier()
    compile(each.config(), each.name, "exec")


def test_graphs_for_short_texts_are_left_out_where_nothing_fits_lengths():
    longest = next(each for each in CONFIGURATIONS if each.name == "longest")
    assert longest.decode == [Shape(1, 1, 256), Shape(16, 1, 256)]
    assert ON.decode == [Shape(1, 1, 128), Shape(16, 1, 128), Shape(16, 1, 256)]
    assert ON.prefill == [*(Shape(n, 64, 128) for n in (1, 4, 16)), Shape(1, 64, 256)]


def test_varied_lengths_are_all_as_likely_and_in_no_order():
    lengths = varied_lengths(48)
    assert sorted(set(lengths)) == [16, 32, 48, 64]
    assert all(lengths.count(each) == 12 for each in set(lengths))
    assert varied_lengths(16) == lengths[:16] != sorted(lengths[:16])


def test_every_request_knows_what_it_is_to_be_answered():
    text = Text("prompt", [1], list(range(NEW_TOKENS)), ["x" * n for n in range(1, 65)])
    loads = Loads([text], alone=2, at_once=4)
    assert [each.text for each in loads.asked(ALONE)] == ["x" * 64] * 2
    assert [each.max_tokens for each in loads.asked(EQUAL)] == [64] * 4
    assert len(loads.asked(VARIED)) == 12
    assert all(each.text == "x" * each.max_tokens for each in loads.asked(VARIED))


def served(server: str, load: str, number: int, **changed) -> ServedTime:
    given = {
        "in_flight": 1 if load == ALONE else 16, "requests": 4, "errors": 0, "others": 0,
        "tokens_per_second": 200.0, "first_ms": 10.0, "first_p99_ms": 12.0, "token_ms": 5.0,
        "gap_p99_ms": 6.0, "took_ms": 300.0, "cpu_ms": 4.0, "generator_cores": 0.1,
        "others_cores": 0.0,
    }  # fmt: skip
    return ServedTime(server=server, load=load, round=number, **{**given, **changed})


def result() -> dict:
    rows = [
        each
        for number in (1, 2)
        for each in (
            served(OURS, ALONE, number),
            served(OURS, EQUAL, number, tokens_per_second=900.0 + 100 * number, token_ms=8.5),
            served(OURS, VARIED, number, tokens_per_second=800.0),
            served("one_slot", VARIED, number, tokens_per_second=200.0),
            served("other", VARIED, number, tokens_per_second=100.0, errors=1, others=2),
        )
    ]
    bare = [
        BareTime(count, number, 4.0 if count == 1 else 8.0, 250.0 if count == 1 else 1250.0)
        for number in (1, 2)
        for count in (1, 16)
    ]
    levels = [LevelTime("scheduler", count, 1, 10.0 * count) for count in (1, 16)]
    return {
        "date": "today", "machine": "a machine", "rounds": 2, "alone": 4, "at_once": 48,
        "varied": 144,
        "peers": {"other": {"version": "1.2", "remark": "as it comes"}}, "failures": ["that"],
        "bare": list(map(described, bare)), "served": list(map(described, rows)),
        "levels": list(map(described, levels)),
    }  # fmt: skip


def test_a_page_compares_round_by_round_and_says_whether_goals_are_met():
    page = tables.page(result())
    assert (
        "| ms for a token, one text at a time | 4.00 (4.00 to 4.00) | 5.00 (5.00 to 5.00) | 1.00"
        in page
    )
    assert "0.500 (0.500 to 0.500) ms more | at most 1: met |" in page
    assert "0.840 (0.800 to 0.880) of it | at least 0.9: missed |" in page
    assert "5.25 (5.00 to 5.50) times the tokens/s | at least 5: met |" in page
    assert (
        "| decode batch: one text after the other | 200 (200 to 200) | 0.250 (0.250 to 0.250) |"
        in page
    )
    assert "| other | 100 (100 to 100) |" in page
    assert "| 2 | 4 of 8 |" in page
    assert "plan a step, take in what came | 10.0 (10.0 to 10.0) | 160" in page
    assert page.endswith("* that")


def test_ratios_are_of_rounds_that_both_have():
    ours = [served(OURS, ALONE, 1), served(OURS, ALONE, 2)]
    found = ratio(ours, [served("x", ALONE, 2, tokens_per_second=100.0)])
    assert found is not None
    assert found.least == found.most == 2.0
    assert ratio(ours, []) is None


def test_the_committed_tables_are_those_of_the_committed_result():
    path = ROOT / "benchmarks" / "results" / "generation.json"
    page = (ROOT / "docs" / "performance.md").read_text()
    content = tables.page(json.loads(path.read_text()), plots=pages.plots_of(path))
    assert pages.put_between_markers(page, tables.BEGIN, tables.END, content) == page


def test_levels_by_themselves_take_some_time(tmp_path):
    assert 0 < scheduler.step_us(1, texts=2) < scheduler.step_us(16, texts=2)
    assert fake.graph_us(tmp_path, 1, calls=3) > 0


@pytest.mark.timeout(120)
def test_a_short_load_on_services_with_a_fake_model(tmp_path):
    folder = tmp_path / "ours"
    folder.mkdir()
    fake.add_fake(folder / "servables")
    found = tmp_path / "load.json"
    with deployed(folder, [fake.FAKE.name]) as deployment:
        for kind in (["--concurrency", "4"], ["--rate", "50"]):
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.generation", "load", "--url", deployment.url,
                 "--model", "fake", *kind, "--requests", "8", "--max-tokens", "6",
                 "--must-reach-length", "--result", str(found)],
                cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            summary = json.loads(found.read_text())["summary"]
            assert (summary["requests"], summary["tokens"], summary["failures"]) == (8, 48, {})
        wrong = subprocess.run(
            [sys.executable, "-m", "benchmarks.generation", "load", "--url", deployment.url,
             "--model", "nobody", "--concurrency", "1", "--requests", "1"],
            cwd=ROOT, env=ENVIRONMENT, text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert wrong.returncode == 1
        assert "1 times: status 404:" in wrong.stdout
