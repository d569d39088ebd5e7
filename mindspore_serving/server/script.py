"""A user's script: what it has started, and its end, however that comes."""

import functools
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import ParamSpec, TypeVar

from mindspore_serving import log
from mindspore_serving.server.flag import Flag
from mindspore_serving.server.stack import Stack

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


class Script:
    """What this script has started; the original's API knows one server per process."""

    def __init__(self) -> None:
        self._stack: Stack | None = None
        self._parts: set[str] = set()
        self._watched = False
        self._is_ending = False
        self._watch_thread: threading.Thread | None = None

    def begin(self, part: str, refusal: str) -> Stack:
        """The stack, to start ``part`` on; RuntimeError with ``refusal`` if it was started."""
        if part in self._parts:
            raise RuntimeError(refusal)
        self._parts.add(part)
        if self._stack is None:
            self._stack = Stack()
            _stop_on_signals()
        return self._stack

    def has_begun(self, part: str) -> bool:
        """Whether ``part`` was started."""
        return part in self._parts

    @contextmanager
    def noting_signals(self) -> Iterator[Flag]:
        """SIGINT and SIGTERM only set a flag while inside, for who has words of his own."""
        noted = Flag()
        numbers: list[int] = []

        def note(number: int, _: FrameType | None) -> None:
            numbers.append(number)
            noted.set()

        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {number: signal.getsignal(number) for number in _SIGNALS}
        for number, handler in before.items():
            if handler is _on_signal:
                signal.signal(number, note)
        try:
            yield noted
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        for late in numbers:  # it came too late for other words
            signal.raise_signal(late)

    def stay_alive(self) -> None:
        """Keep this process, and what it started, alive until ``stop``."""
        if self._stack is not None and not self._watched:
            self._watched = True
            self._watch_thread = threading.Thread(
                target=self._watch, args=[self._stack], name="services"
            )
            self._watch_thread.start()

    def wait(self) -> None:
        """Return when everything has been stopped, by whomever."""
        if self._watch_thread is not None:
            self._watch_thread.join()

    def _watch(self, stack: Stack) -> None:
        if stack.children.watch() and self._stack is stack:
            self.stop()
            log.error("No servable of this script can be called any more: it has stopped serving")

    def end(self, number: int) -> None:
        """End what was started, then this process as the signal would have.

        One that comes meanwhile changes nothing: ``timeout``, for one, sends each signal twice.
        """
        if self._is_ending:
            return
        self._is_ending = True
        self.stop()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    def stop(self) -> None:
        """End what was started; everything may be started again then."""
        if self._stack is not None:
            self._stack.children.stop()
        self.forget()

    def forget(self) -> None:
        """Have started nothing: a child made by fork owns none of its parent's services."""
        if self._stack is not None:
            self._stack.children.let_go()
        self._stack = None
        self._watched = False
        self._parts.clear()


this_script = Script()
os.register_at_fork(after_in_child=this_script.forget)


def stops_all_on_failure(
    start: Callable[Parameters, Returned],
) -> Callable[Parameters, Returned]:
    """Whatever a start function raises, nothing that was started stays."""

    @functools.wraps(start)
    def guarded(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Returned:
        try:
            return start(*args, **kwargs)
        except BaseException:
            stop()
            raise

    return guarded


def _stop_on_signals() -> None:
    """The first SIGINT or SIGTERM ends the services, then does what it would have done."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _on_signal)


def _on_signal(number: int, _: FrameType | None) -> None:
    this_script.end(number)


def stop() -> None:
    """End every service this script started; may be called at any time, and again."""
    this_script.stop()
