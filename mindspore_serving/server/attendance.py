"""What a script does about its services: those that crash come back, those that hang are ended."""

import asyncio
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Protocol

from mindspore_serving import log
from mindspore_serving.server.child import Child
from shared.addresses import HostPort
from shared.errors import ServingError
from shared.wire.health import CHECK_PATH, check_request
from shared.wire.native import NativeWire

_HANG_VARIABLE = "MINDSERVE_SCRIPT_HANG_SECONDS"
_HANG_SECONDS = 60.0
# So many in a row without an answer are a hang: one may be a script that was itself stopped.
_ASKED_IN_VAIN = 4
_MOST_ASK_SECONDS = 4.0
"""Below what a connection may take to be made, whose failure would look like an answer."""


class Standing(Protocol):
    """A service that was started, as far as it decides what can be called."""

    @property
    def service(self) -> str:
        """Which one: master, worker or agent."""

    @property
    def part(self) -> str:
        """The servable version that it serves with others; empty for a master."""

    @property
    def left(self) -> bool:
        """Whether it ended for good."""


def can_be_called(services: Iterable[Standing]) -> bool:
    """Whether somebody can be answered, now or once crashed services are back.

    That takes one of the masters, if there were any, and of one servable, if there were any, one
    of each service that was started for it: a script may have started its agents alone.
    """
    started = list(services)
    there = {(each.part, each.service) for each in started if not each.left}
    needed: dict[str, set[tuple[str, str]]] = {}
    for each in started:
        needed.setdefault(each.part, set()).add((each.part, each.service))
    masters = needed.pop("", set())
    return masters <= there and (not needed or any(part <= there for part in needed.values()))


def hang_seconds() -> float:
    """How long a service may not answer; 0: for ever. Raises RuntimeError for what is no time."""
    text = os.environ.get(_HANG_VARIABLE, str(_HANG_SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not isfinite(seconds) or seconds < 0:
        raise RuntimeError(
            f"Environment variable {_HANG_VARIABLE} should be seconds >= 0, but actually '{text}'"
        )
    return seconds


class Attendance:
    """Looks after the services that have worked."""

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self._ask_at = 0.0
        self._in_vain: dict[Child, int] = {}
        self._told: set[Child] = set()

    def look(self, children: Iterable[Child], now: float) -> None:
        """Start those again that crashed, each when it has waited; tell of those that left."""
        for child in children:
            if not child.is_kept:
                continue
            if child.crashed:
                _start_again(child, now)
            elif child.left and child not in self._told:
                self._told.add(child)
                log.warning("%s ended as it was told to, and is not started again", child.name)

    def ask(self, children: Sequence[Child], now: float) -> None:
        """Ask all for their health when it is time to, and end those that hang; may block.

        Whatever the answer, who gives one lives.
        """
        if not self._hang_seconds or now < self._ask_at:
            return
        period = self._hang_seconds / _ASKED_IN_VAIN
        self._ask_at = now + period
        asked = [child for child in children if child.is_kept and not child.ended]
        addresses = [_by_number(child.address) for child in asked]
        heard = asyncio.run(_all_heard(addresses, min(period, _MOST_ASK_SECONDS)))
        self._in_vain = {
            child: 0 if answered else self._in_vain.get(child, 0) + 1
            for child, answered in zip(asked, heard, strict=True)
        }
        for child, times in self._in_vain.items():
            if times >= _ASKED_IN_VAIN:
                log.error(
                    "%s did not answer for %g s and is killed", child.name, self._hang_seconds
                )
                child.kill()


def _start_again(child: Child, now: float) -> None:
    cause = child.cause()
    try:
        if child.start_again(now):
            log.error("%s ended (%s) and was started again", child.name, cause)
    except OSError as failure:
        log.error("%s ended (%s) and cannot be started now: %s", child.name, cause, failure)


def _by_number(address: str) -> str:
    """The address without a name, if it is known.

    Event loops look names up on threads, and there are no new ones once a script's main thread
    has come to its end.
    """
    at = HostPort.parse(address)
    try:
        found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
    except OSError:
        return ""
    return str(replace(at, host=str(found[0][4][0])))


async def _all_heard(addresses: Iterable[str], seconds: float) -> list[bool]:
    return await asyncio.gather(*(_heard(each, seconds) for each in addresses))


async def _heard(address: str, seconds: float) -> bool:
    """Whether a service says or refuses anything: one that is stopped takes calls, silently."""
    if not address:
        return True
    try:
        async with asyncio.timeout(seconds), NativeWire().connect(address) as channel:
            await channel.call(CHECK_PATH, check_request(""))
    except TimeoutError:
        return False
    except (ServingError, OSError):
        return True
    return True
