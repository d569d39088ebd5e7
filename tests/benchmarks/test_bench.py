import base64
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from benchmarks import machine, messages, pages, tables
from benchmarks.figures import LOOP, Spread, described, percentile, short
from benchmarks.layout import Layout, layouts_of
from benchmarks.works import WORKS
from tests.benchmarks.samples import sample
from tests.support.scripts import alive_after

ROOT = Path(__file__).resolve().parents[2]
SHORT = ["--work", "a,b,c,g", "--peers", "mindserve,grpc.aio,asgi", "--loads", "1x1,4x4",
         "--rounds", "1", "--rates", "half,50,9999999", "--seconds", "0.2"]  # fmt: skip


@pytest.fixture(scope="module")
def generators() -> None:
    if absent := machine.missing(*machine.GENERATORS):
        pytest.skip(absent)


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


def test_a_short_run_measures_every_server_and_writes_tables(
    generators: None, tmp_path: Path
) -> None:
    process = bench(*SHORT, "--result", str(tmp_path / "result.json"))
    output, _ = process.communicate(timeout=110)
    assert process.returncode == 0, output
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["failures"] == []
    measured = {
        (each["work"], each["server"], each["connections"], each["in_flight"])
        for each in result["samples"]
    }
    assert measured == {
        (work, server, connections, in_flight)
        for work, server in [
            ("a", "mindserve"), ("a", "grpc.aio"), ("b", "mindserve"), ("b", "grpc.aio"),
            ("c", "mindserve"),
        ]
        for connections, in_flight in ((1, 1), (4, 16))
    } | {
        ("g", server, connections, 64)
        for server in ("mindserve", "grpc.aio") for connections in (64, 1)
    } | {
        (work, "asgi", in_flight, in_flight) for work in ("a", "b") for in_flight in (1, 16)
    } | {("g", "asgi", 64, 64)}  # fmt: skip
    assert "wrk 4" in result["machine"]
    for each in result["samples"]:
        assert each["errors"] == 0
        assert each["requests"] >= 5 * each["in_flight"]
        assert min(each["cpu_us"], each["per_second"], each["p50_ms"], each["pss_mb"]) > 0
        assert each["p50_ms"] <= each["p99_ms"]
    arrived = {(each["work"], each["server"]) for each in result["open"]}
    assert arrived == {pair for pair in {(w, s) for w, s, *_ in measured} if pair[0] != "g"}
    for each in result["open"]:
        assert each["errors"] == 0
        assert 0 < each["p50_ms"] <= each["p99_ms"]
        assert each["rate"] < 9999999
    assert "### b. 600 KB in, 4 KB out" in output


def test_an_interrupted_run_leaves_no_process_behind(generators: None, tmp_path: Path) -> None:
    process = bench(*SHORT, "--seconds", "60", "--result", str(tmp_path / "result.json"))
    assert process.stdout is not None
    for line in process.stdout:
        if "1x1 in flight" in line:
            break
    started = below(process)
    assert len(started) >= 4
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130, output
    assert not alive_after(started, 5)


def test_a_row_tells_the_median_and_the_extremes() -> None:
    rows = tables.table([sample(cpu_us=each) for each in (300.0, 100.0, 120.0)]).splitlines()
    assert rows[2].startswith("| one | 1x1 | 120 (100 to 300) |")


def test_the_summary_leaves_a_cell_empty_where_a_server_did_not_take_part() -> None:
    lines = tables.summary([sample(), sample(work="c"), sample(server="two")]).splitlines()
    assert lines[-2].endswith("| 100 (100 to 100) | 100 (100 to 100) |")
    assert lines[-1] == "| two | 100 (100 to 100) |  |"


def test_a_summary_of_other_layouts_than_those_asked_for_is_left_out() -> None:
    result = {"date": "", "machine": "", "rounds": 1, "seconds": 1, "failures": [], "servers": {},
              "open": []}  # fmt: skip
    page = tables.page({**result, "samples": [described(sample(work="g", connections=1))]})
    assert "### CPU" not in page
    assert "### g. 64 clients" in page


def test_a_layout_without_streams_has_a_connection_for_each_request() -> None:
    texts = ("8x8", "64x1", "1x64", "1x1")
    assert list(map(str, layouts_of(texts, has_streams=True))) == list(texts)
    assert list(map(str, layouts_of(texts, has_streams=False))) == ["64x1", "1x1"]


@pytest.mark.parametrize("text", ["64", "0x1", "4x", "axb"])
def test_what_is_no_layout_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Layout.parse(text)


def test_a_page_says_which_servers_have_no_streams() -> None:
    servers = {"one": {"version": "1", "protocol": "gRPC", "remark": ""},
               "two": {"version": "1", "protocol": "HTTP/1.1, JSON", "remark": ""}}  # fmt: skip
    result = {"date": "", "machine": "", "rounds": 1, "seconds": 1, "failures": [], "open": []}
    samples = [sample(connections=4, in_flight=16), sample(server="two", in_flight=16)]
    page = tables.page({**result, "servers": servers, "samples": [described(s) for s in samples]})
    assert page.endswith("as many connections: two.")


def test_errors_of_all_rounds_are_added() -> None:
    assert tables.table([sample(errors=1), sample(errors=2)]).endswith("| 3 |")


def test_tables_replace_what_stood_between_the_markers() -> None:
    begin, end = tables.SECTIONS["servers"]
    text = f"before\n{begin}\nold\n{end}\nafter\n"
    once = pages.put_between_markers(text, begin, end, "new")
    assert "old" not in once
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert pages.put_between_markers(once, begin, end, "new") == once


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="no <!-- bench:begin"):
        pages.put_between_markers("nothing", *tables.SECTIONS["servers"], "new")


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


def test_requests_hold_the_same_numbers_in_every_protocol() -> None:
    for work in WORKS.values():
        numbers = work.request().tobytes()
        assert numbers in messages.open_inference(work, "m").body
        assert messages.raw_http(work, "/").body == numbers
        listed = json.loads(messages.json_http(work, "/").body)["x"]
        if work.is_large:
            assert base64.b64decode(listed) == numbers
        else:
            assert listed == work.request().tolist()
        instances = json.loads(messages.rest_instances(work, "/").body)["instances"]
        values = [each["x"] for each in instances]
        if work.is_large:
            assert b"".join(base64.b64decode(value["b64"]) for value in values) == numbers
        else:
            assert values == work.request().tolist()
        row = work.request()[0].tobytes()
        assert row in messages.ms_service(work, "s", "m").body


def test_a_wrong_answer_is_told_from_a_right_one() -> None:
    work = WORKS["a"]
    right = work.answer().tobytes()
    for call in (messages.raw_http(work, "/"), messages.open_inference(work, "m")):
        assert call.is_right(right)
        assert not call.is_right(work.request().tobytes())


def test_a_model_may_answer_with_other_last_bits_and_no_more() -> None:
    right = np.linspace(-1, 1, 1000, dtype=np.float32)
    work = replace(WORKS["e2"], known_answer=right.tobytes())
    assert work.is_answer(right * np.float32(1.00001))
    assert not work.is_answer(right[::-1])
    assert not work.is_answer(right[:10])
    assert not work.is_answer(np.full(1000, np.nan, np.float32))


def test_rows_of_a_bare_loop_tell_what_share_of_it_each_server_reaches() -> None:
    rows = [sample(work="e1", server=LOOP, per_second=50.0), sample(work="e1", per_second=20.0)]
    lines = tables.table(rows).splitlines()
    assert lines[0].endswith("| of the loop |")
    assert [line.rpartition("| ")[2] for line in lines[2:4]] == ["100 % |", "40 % |"]


@pytest.mark.parametrize("section", tables.SECTIONS)
def test_the_committed_tables_are_those_of_the_committed_result(section: str) -> None:
    path = ROOT / "benchmarks" / "results" / f"{section}.json"
    page = (ROOT / "docs" / "performance.md").read_text()
    content = tables.page(json.loads(path.read_text()), plots=pages.plots_of(path))
    assert pages.put_between_markers(page, *tables.SECTIONS[section], content) == page
