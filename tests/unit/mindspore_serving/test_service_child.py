"""When a service that crashed is started again."""

import os
import signal
import time
from pathlib import Path

import pytest

from mindspore_serving.server.child import Child
from tests.support.scripts import wait_until


def master(arguments):
    return Child("front", "master", "It failed", arguments, {}, now=0.0, address="127.0.0.1:1")


@pytest.fixture
def crashing(tmp_path, monkeypatch):
    """A master that ends at once, of a setting that is none."""
    monkeypatch.chdir(tmp_path)
    child = Child(
        "front", "master", "It failed", ["--nonsense"], {}, now=0.0, address="127.0.0.1:1"
    )
    yield child
    child.close()
    child.wait(time.monotonic() + 40)


def ended(child):
    wait_until(lambda: child.ended, seconds=30, every=0.01, what="its end")
    return child.crashed


def test_each_start_in_a_row_waits_twice_as_long_until_one_lives_for_a_while(crashing):
    now = 0.0
    for wait in (1.0, 2.0, 4.0):
        assert ended(crashing)
        assert not crashing.start_again(now)
        assert not crashing.start_again(now + wait - 0.01)
        assert crashing.start_again(now + wait)
        now += wait
    assert ended(crashing)
    now += 10.1
    assert not crashing.start_again(now)
    assert crashing.start_again(now + 1)


def test_a_failed_start_has_its_reason_and_where_its_log_is(crashing):
    assert ended(crashing)
    assert crashing.cause() == "exit code 2"
    why = crashing.why_not_started()
    assert why.startswith("It failed: unknown option --nonsense; did you mean")
    assert why.endswith("(more in serving_logs/log_front.log)")


def test_a_service_that_was_killed_while_it_started_is_told_as_dead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    child = master([])
    child._process.kill()
    assert child.cause() == "SIGKILL"
    assert child.why_not_started().startswith("It failed: death of one master (SIGKILL)")
    child.close()


def test_a_service_that_was_told_to_end_has_not_crashed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    free = ["--listen", "127.0.0.1:0", "--membership-address", "127.0.0.1:0"]
    child = master(free)
    child.close()
    child.wait(time.monotonic() + 40)
    assert child.ended
    assert not child.crashed


def started_master():
    """A master that goes on until it is told to end, once it hears that."""
    free = ["--listen", "127.0.0.1:0", "--membership-address", "127.0.0.1:0"]
    child = master(free)
    wait_until(lambda: "listening" in log_of(child), seconds=30, what="the master to listen")
    return child


def log_of(child):
    return Path("serving_logs", f"log_{child.name}.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_ends_by_a_signal_that_it_heeds_has_left(tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    child = started_master()
    assert not child.left
    os.kill(child._process.pid, number)
    assert child.wait(time.monotonic() + 30)
    assert child.left
    assert not child.crashed
    assert child.why_not_started().startswith(
        "It failed: one master was told to end while it started"
    )
    child.close()


def test_a_service_that_does_not_heed_its_closed_input_is_killed_at_the_deadline(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    child = started_master()
    os.kill(child._process.pid, signal.SIGSTOP)
    child.close()
    began = time.monotonic()
    assert not child.wait(began + 0.5)
    assert 0.5 <= time.monotonic() - began < 10
    assert child.cause() == "SIGKILL"
    # A deadline that has passed is one: services are waited for one after the other.
    assert child.wait(began)


def test_a_log_is_begun_anew_by_a_script_and_goes_on_when_its_service_starts_again(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    log = tmp_path / "serving_logs" / "log_front.log"
    log.parent.mkdir()
    log.write_text("of the script before\n")
    child = started_master()
    assert "of the script before" not in log_of(child)
    first = log_of(child)
    child.kill()
    ended(child)
    assert not child.start_again(100.0)
    assert child.start_again(101.0)
    wait_until(
        lambda: log_of(child).count("listening") == 2,
        seconds=30,
        what="the second master to listen",
    )
    assert log_of(child).startswith(first)
    child.close()
    assert child.wait(time.monotonic() + 30)


@pytest.mark.timeout(60)
def test_a_signals_handler_that_interrupted_a_look_at_a_service_can_end_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    child = master([])
    with child._process._waitpid_lock:  # the standard library's, which a look holds for a moment
        assert not child.wait(time.monotonic())
    assert child.cause() == "SIGKILL"
    child.close()
