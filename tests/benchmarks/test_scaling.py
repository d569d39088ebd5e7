import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import machine, pages
from benchmarks.figures import described
from benchmarks.scaling import tables
from benchmarks.scaling.points import Idle, Moment, Point
from benchmarks.scaling.simulated import answer
from benchmarks.scaling.trend import Trend
from benchmarks.works import WORKS
from protos.ms_service import ms_service_pb2 as pb

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--wires", "native", "--callers", "1,16", "--workers", "3", "--bytes", "1024,262144",
         "--connections", "50", "--minutes", "0.05", "--control-minutes", "0.15", "--interval", "1",
         "--rounds", "1", "--seconds", "0.2"]  # fmt: skip
SECONDS = [10.0 * number for number in range(60)]


def wavering(seed: int, *, slope: float = 0.0) -> list[float]:
    """Around 100, with noise of 1, growing by ``slope`` a second."""
    chance = random.Random(seed)
    return [100 + slope * second + chance.gauss(0, 1) for second in SECONDS]


@given(st.integers(0, 10_000))
def test_what_only_wavers_does_not_grow(seed: int) -> None:
    assert not Trend.of(SECONDS, wavering(seed)).grows


@given(st.integers(0, 10_000))
def test_what_grows_by_a_twentieth_in_ten_minutes_is_seen(seed: int) -> None:
    trend = Trend.of(SECONDS, wavering(seed, slope=5 / 600))
    assert trend.grows
    assert trend.per_minute == pytest.approx(0.5, abs=4 * trend.noise_per_minute)


def test_growth_that_settles_in_the_first_fifth_is_none() -> None:
    values = [50 + min(second, 110) for second in SECONDS]
    assert not Trend.of(SECONDS, values).grows


def test_growth_that_matters_to_nobody_is_none_however_sure() -> None:
    trend = Trend.of(SECONDS, [100 + second / 1000 for second in SECONDS])
    assert trend.noise_per_minute == pytest.approx(0, abs=1e-9)
    assert not trend.grows


def test_a_run_that_is_too_short_is_not_judged() -> None:
    assert "too few" in tables.verdict([0.0, 10.0, 20.0], [1.0, 2.0, 3.0])


def test_simulated_workers_answer_as_the_reference_does() -> None:
    request = pb.PredictRequest(servable_spec=pb.ServableSpec(name="bench", method_name="predict"))
    tensor = request.instances.add().items["x"]
    tensor.data = WORKS["a"].request().tobytes()
    reply = pb.PredictReply.FromString(answer(request.SerializeToString()))
    assert reply.instances[0].items["y"].data == WORKS["a"].answer().tobytes()


def point(**changed: object) -> Point:
    given = {
        "part": "callers", "wire": "native", "size": 1, "round": 1, "requests": 10, "errors": 0,
        "cpu_us": 100.0, "per_second": 10.0, "p50_ms": 1.0, "p99_ms": 2.0, "pss_mb": 50.0,
    }  # fmt: skip
    return Point(**{**given, **changed})


def test_a_page_has_a_section_for_each_part_that_was_measured() -> None:
    moments = [Moment("leaking", 10.0 * n, 100, 0, 100.0, 50.0 + 10 * n) for n in range(10)]
    result = {
        "date": "today", "machine": "a machine", "rounds": 2, "seconds": 1.0, "failures": ["that"],
        "points": [described(each) for each in (point(), point(round=2, cpu_us=300.0))],
        "idle": [described(Idle("native", 1, 1000, 50_000_000, 56_000_000, 55_000_000))],
        "moments": [described(each) for each in moments],
    }  # fmt: skip
    page = tables.page(result, plots=["x/scaling-callers.svg", "x/scaling-workers.svg"])
    assert "| native | 1 | 200 (100 to 300) |" in page
    assert "![callers](x/scaling-callers.svg)" in page
    assert "workers" not in page
    assert "| native | 1,000 | 6.00 (6.00 to 6.00) | 50.0 | 56.0 | 55.0 |" in page
    memory, cpu = (line for line in page.splitlines() if line.startswith("| leaking | 1.5 | 1,000"))
    assert "| memory, MB | 105 | 60.0 |" in memory
    assert memory.endswith("| grows |")
    assert cpu.endswith("| flat |")
    assert page.endswith("* that")


def test_the_committed_tables_are_those_of_the_committed_result() -> None:
    path = ROOT / "benchmarks" / "results" / "scaling.json"
    page = (ROOT / "docs" / "performance.md").read_text()
    content = tables.page(json.loads(path.read_text()), plots=pages.plots_of(path))
    assert pages.put_between_markers(page, tables.BEGIN, tables.END, content) == page


@pytest.mark.timeout(150)
def test_a_short_run_of_every_part_finds_no_errors_and_sees_the_leak(tmp_path: Path) -> None:
    if absent := machine.missing("h2load"):
        pytest.skip(absent)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *SHORT, "--result", str(tmp_path / "r.json")],
        cwd=ROOT, text=True, capture_output=True, timeout=140, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "r.json").read_text())
    points = [Point(**each) for each in result["points"]]
    assert [(each.part, each.size) for each in points] == [
        ("callers", 1), ("callers", 16), ("workers", 3), ("payload", 1024), ("payload", 262144),
    ]  # fmt: skip
    assert all(each.errors == 0 and each.cpu_us > 0 and each.pss_mb > 0 for each in points)
    (idle,) = (Idle(**each) for each in result["idle"])
    assert idle.before > 0
    moments = [Moment(**each) for each in result["moments"]]
    assert {each.run for each in moments} == {"native", "leaking"}
    leaking = [each for each in moments if each.run == "leaking"]
    assert Trend.of([each.second for each in leaking], [each.written_mb for each in leaking]).grows
