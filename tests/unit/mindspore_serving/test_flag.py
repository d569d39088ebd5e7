"""A flag that signals' handlers set."""

import signal

from mindspore_serving.server.flag import Flag


def test_a_handler_that_interrupts_a_wait_ends_it():
    flag = Flag()
    before = signal.signal(signal.SIGALRM, lambda *_: flag.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        assert flag.wait(30)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert flag.is_set()
    assert flag.wait(30)


def test_a_wait_for_what_does_not_come_ends():
    flag = Flag()
    assert not flag.wait(0.001)
    assert not flag.is_set()
