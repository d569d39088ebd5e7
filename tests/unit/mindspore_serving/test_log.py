"""mindspore_serving.log under the original's environment variables."""

import os
import re
import subprocess
import sys

import pytest

SAY_ALL = """
from mindspore_serving import log
def say():
    log.debug("d %d", 1)
    log.info("i")
    log.warning("w")
    log.error("e %s", "x")
say()
"""


def run(text, **environment):
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GLOG_", "logger_"))
    }
    return subprocess.run(
        [sys.executable, "-c", text],
        env=inherited | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_warnings_and_errors_go_to_standard_error_in_the_originals_form():
    lines = run(SAY_ALL).stderr.splitlines()
    time = r"\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d\.\d{3}\.\d{3}"
    form = rf"\[(\w+)\] SERVING\(\d+,MainThread,MainProcess\):{time} \[<string>:\d\] say\] (.*)"
    assert [re.fullmatch(form, line).groups() for line in lines] == [
        ("WARNING", "w"),
        ("ERROR", "e x"),
    ]


@pytest.mark.parametrize(("level", "said"), [("0", 4), ("1", 3), ("3", 1), ("4", 0)])
def test_glog_v_says_from_which_level_on(level, said):
    assert len(run(SAY_ALL, GLOG_v=level).stderr.splitlines()) == said


def test_lines_go_to_a_file_and_the_severe_ones_to_standard_error_too(tmp_path):
    folder = tmp_path / "logs"
    ended = run(
        SAY_ALL, GLOG_v="1", GLOG_logtostderr="0", GLOG_log_dir=str(folder),
        GLOG_stderrthreshold="3",
    )  # fmt: skip
    (file,) = folder.iterdir()
    assert [line.rsplit(" ", 1)[1] for line in file.read_text().splitlines()] == ["i", "w", "x"]
    assert len(ended.stderr.splitlines()) == 1


ROTATING = """
from mindspore_serving import log
for number in range(100):
    log.error("%03d", number)
"""


@pytest.mark.parametrize(
    ("count", "names", "kept"),
    # A line is 100 to 130 bytes: one or two files of 1000 hold seven to ten each.
    [("2", ["", ".1", ".2"], range(15, 31)), ("0", [""], range(100, 101))],
)
def test_a_file_is_turned_over_at_its_size_and_so_many_old_ones_stay(tmp_path, count, names, kept):
    ended = run(
        ROTATING, GLOG_logtostderr="0", GLOG_log_dir=str(tmp_path), GLOG_stderrthreshold="4",
        logger_maxBytes="1000", logger_backupCount=count,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    files = sorted(tmp_path.iterdir())
    assert [each.name.partition(".log")[2] for each in files] == names
    lines = [line for each in reversed(files) for line in each.read_text().splitlines()]
    numbers = [int(line[-3:]) for line in lines]
    assert numbers == list(range(100 - len(numbers), 100))
    assert len(numbers) in kept
    if count != "0":  # without old files logging has nowhere to turn to, and goes on
        assert all(each.stat().st_size <= 1000 for each in files)


def test_without_limits_given_files_have_the_originals(tmp_path):
    ended = run(
        "from mindspore_serving import log; print(log.get_log_config())",
        GLOG_logtostderr="0", GLOG_log_dir=str(tmp_path),
    )  # fmt: skip
    assert "'logger_maxBytes': '52428800', 'logger_backupCount': '30'" in ended.stdout


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"GLOG_v": "9"}, "Environment variable GLOG_v should be 0, 1, 2, 3 or 4"),
        ({"GLOG_stderrthreshold": ""}, "Environment variable GLOG_stderrthreshold should be 0"),
        ({"GLOG_logtostderr": "no"}, "Environment variable GLOG_logtostderr should be 0 or 1"),
        ({"GLOG_logtostderr": "0"}, "Environment variable GLOG_log_dir should be set"),
        (
            {"GLOG_logtostderr": "0", "GLOG_log_dir": "x", "logger_maxBytes": "1e6"},
            "Environment variable logger_maxBytes should be a number",
        ),
    ],
)
def test_a_wrong_variable_is_named(environment, words):
    assert f"ValueError: {words}" in run(SAY_ALL, **environment).stderr


def test_the_configuration_in_use_can_be_asked_for():
    ended = run(
        "from mindspore_serving import log; print(log.get_level(), log.get_log_config())",
        GLOG_v="1",
    )
    assert ended.stdout == (
        "1 {'GLOG_v': '1', 'GLOG_logtostderr': '1', 'GLOG_stderrthreshold': '2'}\n"
    )


def test_a_deprecated_name_is_told_of_once():
    (line,) = run(
        "from mindspore_serving.deprecation import say_deprecated\n"
        "for _ in range(3): say_deprecated('old', '1.5.0', 'new')"
    ).stderr.splitlines()
    assert line.endswith("'old' is deprecated since version 1.5.0, use 'new' instead")
