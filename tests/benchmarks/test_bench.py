import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks import load, machine, messages, tables
from benchmarks.figures import Sample, Spread, percentile, short
from benchmarks.works import WORKS

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--work", "a,b,c", "--peers", "mindserve,grpc.aio", "--in-flight", "1,16", "--rounds",
         "1", "--seconds", "0.2"]  # fmt: skip


@pytest.fixture(scope="module")
def h2load() -> None:
    if not machine.find_h2load():
        pytest.skip("h2load cannot be had: the package nghttp2-client is not installed")


def bench(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def below(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def test_a_short_run_measures_every_server_and_writes_tables(h2load: None, tmp_path: Path) -> None:
    process = bench(*SHORT, "--result", str(tmp_path / "result.json"))
    output, _ = process.communicate(timeout=110)
    assert process.returncode == 0, output
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["failures"] == []
    measured = {(each["work"], each["server"], each["in_flight"]) for each in result["samples"]}
    assert measured == {
        (work, server, count)
        for work, server in [
            ("a", "mindserve"), ("a", "grpc.aio"), ("b", "mindserve"), ("b", "grpc.aio"),
            ("c", "mindserve"),
        ]
        for count in (1, 16)
    }  # fmt: skip
    for each in result["samples"]:
        assert each["errors"] == 0
        assert each["requests"] >= 5 * each["in_flight"]
        assert min(each["cpu_us"], each["per_second"], each["p50_ms"], each["pss_mb"]) > 0
        assert each["p50_ms"] <= each["p99_ms"]
    assert "### b. 600 KB in, 4 KB out" in output


def test_an_interrupted_run_leaves_no_process_behind(h2load: None, tmp_path: Path) -> None:
    process = bench(*SHORT, "--seconds", "60", "--result", str(tmp_path / "result.json"))
    assert process.stdout is not None
    for line in process.stdout:
        if "1 in flight" in line:
            break
    started = below(process)
    assert len(started) >= 4
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    deadline = time.monotonic() + 5
    while left := [each for each in started if each.is_running()]:
        assert time.monotonic() < deadline, left


def sample(**changed: Any) -> Sample:
    given: dict[str, Any] = {
        "work": "a", "server": "one", "in_flight": 1, "round": 1, "requests": 10, "errors": 0,
        "seconds": 1.0, "cpu_us": 100.0, "per_second": 10.0, "p50_ms": 1.0, "p99_ms": 2.0,
        "pss_mb": 50.0, "rss_mb": 60.0, "others_cores": 0.0,
    }  # fmt: skip
    return Sample(**{**given, **changed})


def test_a_row_tells_the_median_and_the_extremes() -> None:
    rows = tables.table([sample(cpu_us=each) for each in (300.0, 100.0, 120.0)]).splitlines()
    assert rows[2].startswith("| one | 1 | 120 (100 to 300) |")


def test_the_summary_leaves_a_cell_empty_where_a_server_did_not_take_part() -> None:
    lines = tables.summary([sample(), sample(work="c"), sample(server="two")]).splitlines()
    assert lines[-2].endswith("| 100 (100 to 100) | 100 (100 to 100) |")
    assert lines[-1] == "| two | 100 (100 to 100) |  |"


def test_errors_of_all_rounds_are_added() -> None:
    assert tables.table([sample(errors=1), sample(errors=2)]).endswith("| 3 |")


def test_tables_replace_what_stood_between_the_markers() -> None:
    text = f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n"
    once = tables.put_between_markers(text, "new")
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert tables.put_between_markers(once, "new") == once


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- bench:begin"):
        tables.put_between_markers("nothing", "new")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0123, "0.0123"), (1.236, "1.24"), (45.67, "45.7"), (1234.5, "1,234")],
)
def test_figures_have_three_digits(value: float, text: str) -> None:
    assert short(value) == text


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(each) for each in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (50.0, 99.0)
    assert percentile([7.0], 0.99) == 7.0
    assert str(Spread.of([2.0, 1.0, 3.0])) == "2.00 (1.00 to 3.00)"


PRINTED = "traffic: 1KB (1000) total, 1B (1) headers (space savings 0.00%), 900B ({}) data"


def test_an_answer_without_a_message_is_an_error_though_its_status_is_200() -> None:
    log = [f"{1000 * each}\t200\t500" for each in range(10)]
    whole = load.read(PRINTED.format(1000), log, 10, 100, elapsed=1.0)
    assert (whole.errors, whole.p50_ms) == (0, 0.5)
    assert whole.seconds == pytest.approx(0.0095)
    assert load.read(PRINTED.format(800), log, 10, 100, elapsed=1.0).errors == 2


def test_a_failed_status_is_an_error() -> None:
    log = ["0\t200\t500", "0\t503\t500", "0\t-1\t500"]
    assert load.read(PRINTED.format(300), log, 3, 100, elapsed=1.0).errors == 2


def test_requests_hold_the_same_numbers_in_every_protocol() -> None:
    for work in WORKS.values():
        numbers = work.request().tobytes()
        assert numbers in messages.open_inference(work, "m").body
        assert messages.raw_http(work, "/").body == numbers
        listed = json.loads(messages.json_http(work, "/", packed=False).body)["x"]
        assert listed == work.request().tolist()
        row = work.request()[0].tobytes()
        assert row in messages.ms_service(work, "s", "m").body


def test_a_wrong_answer_is_told_from_a_right_one() -> None:
    work = WORKS["a"]
    right = work.answer().tobytes()
    for call in (messages.raw_http(work, "/"), messages.open_inference(work, "m")):
        assert call.is_right(right)
        assert not call.is_right(work.request().tobytes())


def test_the_committed_tables_are_those_of_the_committed_result() -> None:
    path = ROOT / "benchmarks" / "results" / "servers.json"
    page = (ROOT / "docs" / "performance.md").read_text()
    written = tables.put_between_markers(page, tables.page(json.loads(path.read_text())))
    assert written == page
