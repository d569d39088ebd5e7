"""When a service that crashed is started again."""

import time

import pytest

from mindspore_serving.server.child import Child


@pytest.fixture
def crashing(tmp_path, monkeypatch):
    """A master that ends at once, of a setting that is none."""
    monkeypatch.chdir(tmp_path)
    child = Child("front", "master", "It failed", ["--nonsense"], {}, now=0.0)
    yield child
    child.close()
    child.wait(time.monotonic() + 40)


def ended(child):
    deadline = time.monotonic() + 30
    while not child.ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
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
    child = Child("front", "master", "It failed", [], {}, now=0.0)
    child._process.kill()
    assert child.cause() == "SIGKILL"
    assert child.why_not_started().startswith("It failed: death of one master (SIGKILL)")
    child.close()


def test_a_service_that_was_told_to_end_has_not_crashed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    free = ["--listen", "127.0.0.1:0", "--membership-address", "127.0.0.1:0"]
    child = Child("front", "master", "It failed", free, {}, now=0.0)
    child.close()
    child.wait(time.monotonic() + 40)
    assert child.ended
    assert not child.crashed
