"""Membership on the wire: the registrar's side and the member's side of Join."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import structlog

from shared.errors import InvalidRequest, PeerLost, ServingError, Unavailable
from shared.membership import (
    REPORTS_PER_LEASE,
    Heartbeat,
    Hello,
    MembershipTable,
    Notice,
    Report,
    Welcome,
)
from shared.tasks import task_scope
from shared.wire import membership_codec as codec
from shared.wire.interface import CallContext, Routes, Stream, Wire

log = structlog.get_logger()

JOIN_PATH = "/mindserve.serving.v1.Membership/Join"
_FIRST_RETRY_SECONDS = 0.1
_LONGEST_RETRY_SECONDS = 1.0
_REASONS = {
    "lease": "was silent for a whole lease",
    "joined again": "joined again",
    "closed": "the registrar was closed",
}
"""Why a session was cancelled, to say why a member left."""


class MemberObserver(Protocol):
    """What a registrar's owner does when members come, report and go."""

    def joined(self, hello: Hello) -> Notice | None:
        """A member is there; what is returned is sent to it after the Welcome."""

    def reported(self, hello: Hello, report: Report) -> None:
        """A member said something (never a Hello)."""

    def left(self, hello: Hello, reason: str) -> None:
        """A member is gone: called once for each ``joined``."""


class Registrar:
    """Accepts members, keeps their leases, and can send them notices."""

    def __init__(self, observer: MemberObserver, lease_seconds: float) -> None:
        self._id = uuid.uuid4().hex
        self._observer = observer
        self._table = MembershipTable(lease_seconds)
        self._outboxes: dict[str, asyncio.Queue[Notice | ServingError]] = {}
        self._sessions: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def routes(self) -> Routes:
        """Serve these to let members join."""
        return Routes(streams={JOIN_PATH: self._join})

    def notify(self, member_id: str, notice: Notice) -> None:
        """Send ``notice`` to a member; one that is gone needs none."""
        outbox = self._outboxes.get(member_id)
        if outbox is not None:
            outbox.put_nowait(notice)

    def expel(self, member_id: str, reason: ServingError) -> None:
        """End a membership after the notices before; a member that is there joins again."""
        outbox = self._outboxes.get(member_id)
        if outbox is not None:
            outbox.put_nowait(reason)

    async def close(self) -> None:
        """Take no more members and end every membership: nobody need wait for its end."""
        self._closed = True
        sessions = list(self._sessions.values())
        for session in sessions:
            session.cancel("closed")
        if sessions:
            await asyncio.wait(sessions)

    async def expel_silent(self) -> None:
        """End the membership of members whose lease ran out; runs until cancelled."""
        period = self._table.lease_seconds / (2 * REPORTS_PER_LEASE)
        while True:
            due = _now() + period
            await asyncio.sleep(period)
            if _now() - due > period:
                # This process was held up and has not read what members said meanwhile.
                self._table.renew_all(now=_now())
            for member_id in self._table.expired(now=_now()):
                session = self._sessions.get(member_id)
                if session is not None:
                    session.cancel("lease")

    async def _join(self, context: CallContext, stream: Stream) -> None:
        reports = aiter(stream)
        hello = await self._read_hello(context, reports)
        if self._closed:
            raise Unavailable("the registrar takes no more members")
        previous = self._sessions.get(hello.member_id)
        if previous is not None:
            previous.cancel("joined again")
            await asyncio.wait([previous])
        async with task_scope() as scope:
            session = scope.spawn(
                self._session(hello, stream, reports), name=f"member {hello.member_id}"
            )
            self._sessions[hello.member_id] = session
            try:
                await asyncio.wait([session])
            finally:
                if self._sessions.get(hello.member_id) is session:
                    del self._sessions[hello.member_id]

    async def _read_hello(self, context: CallContext, reports: AsyncIterator[bytes]) -> Hello:
        async with asyncio.timeout(self._table.lease_seconds):
            message = await anext(reports, b"")
        hello = codec.read_report(message, peer_host=context.peer_host)
        if not isinstance(hello, Hello):
            raise InvalidRequest("the first report of a member must be a Hello")
        return hello

    async def _session(self, hello: Hello, stream: Stream, reports: AsyncIterator[bytes]) -> None:
        self._table.join(hello, now=_now())
        outbox = self._outboxes[hello.member_id] = asyncio.Queue()
        outbox.put_nowait(Welcome(self._id, self._table.lease_seconds))
        log.info("member joined", member=hello.member_id, address=hello.address)
        reason = "closed the connection"
        try:
            first = self._observer.joined(hello)
            if first is not None:
                outbox.put_nowait(first)
            async with task_scope() as scope:
                scope.spawn(_write_notices(outbox, stream), name="notices")
                async for message in reports:
                    report = codec.read_report(message, peer_host="")
                    self._table.renew(hello.member_id, now=_now())
                    if not isinstance(report, Hello):
                        self._observer.reported(hello, report)
        except asyncio.CancelledError as cancelled:
            reason = _REASONS.get(str(cancelled), "connection broke")
            raise
        except ServingError as failure:
            reason = failure.message
            raise
        finally:
            self._table.leave(hello.member_id)
            del self._outboxes[hello.member_id]
            log.info("member left", member=hello.member_id, reason=reason)
            self._observer.left(hello, reason)


async def _write_notices(outbox: asyncio.Queue[Notice | ServingError], stream: Stream) -> None:
    while True:
        news = await outbox.get()
        if isinstance(news, ServingError):
            raise news
        await stream.send(codec.write_notice(news))


class Membership:
    """A member's side: what it says to each registrar, and keeps saying.

    ``state`` gives the member's current report; ``changed`` makes every link
    send it anew; ``noticed`` hears the registrar's notices.
    """

    def __init__(
        self,
        wire: Wire,
        hello: Callable[[], Hello],
        state: Callable[[], Report],
        load: Callable[[], int],
        noticed: Callable[[Notice], None],
    ) -> None:
        self._wire = wire
        self._hello = hello
        self._state = state
        self._load = load
        self._noticed = noticed
        self._wakes: dict[asyncio.Event, asyncio.Event] = {}
        """For each registrar: that there is news, and that it was sent all of them."""

    def changed(self) -> None:
        """The state is news: every registrar hears it now."""
        for wake, sent in self._wakes.items():
            wake.set()
            sent.clear()

    async def told(self) -> None:
        """Wait until every registrar that there is was sent the state as it is now."""
        for sent in list(self._wakes.values()):
            await sent.wait()

    async def keep_joined(self, address: str) -> None:
        """Stay a member at ``address`` until cancelled, joining again when the link breaks."""
        retry = _FIRST_RETRY_SECONDS
        said = ""
        while True:
            joined_at = _now()
            try:
                async with (
                    self._wire.connect(address) as channel,
                    channel.stream(JOIN_PATH) as stream,
                ):
                    await self._converse(stream, address)
            except (ServingError, TimeoutError) as failure:
                reason = str(failure) or "no answer"
                if reason != said:
                    said = reason
                    log.info("not joined", registrar=address, reason=reason)
            if _now() - joined_at > _LONGEST_RETRY_SECONDS:
                retry = _FIRST_RETRY_SECONDS
            await asyncio.sleep(retry * random.uniform(0.8, 1.2))
            retry = min(2 * retry, _LONGEST_RETRY_SECONDS)

    async def _converse(self, stream: Stream, address: str) -> None:
        await stream.send(codec.write_report(self._hello()))
        notices = aiter(stream)
        async with asyncio.timeout(5.0):
            welcome = codec.read_notice(await anext(notices, b""))
        if not isinstance(welcome, Welcome):
            raise PeerLost("the registrar did not welcome this member")
        log.info("joined", registrar=address)
        async with task_scope() as scope, self._woken() as wake:
            period = welcome.lease_seconds / REPORTS_PER_LEASE
            scope.spawn(self._report(stream, wake, period), name=f"reports to {address}")
            async for message in notices:
                self._noticed(codec.read_notice(message))
            raise PeerLost("the registrar closed the connection")

    async def _report(self, stream: Stream, wake: asyncio.Event, period: float) -> None:
        wake.set()
        while True:
            try:
                async with asyncio.timeout(period):
                    await wake.wait()
                wake.clear()
                await stream.send(codec.write_report(self._state()))
                if not wake.is_set():
                    self._wakes[wake].set()
            except TimeoutError:
                await stream.send(codec.write_report(Heartbeat(self._load())))

    @asynccontextmanager
    async def _woken(self) -> AsyncIterator[asyncio.Event]:
        wake = asyncio.Event()
        sent = self._wakes[wake] = asyncio.Event()
        try:
            yield wake
        finally:
            sent.set()
            del self._wakes[wake]


def _now() -> float:
    return asyncio.get_running_loop().time()


async def resolve(address: str) -> Sequence[str]:
    """Every HOST:PORT that the name in ``address`` stands for; itself if it is no name."""
    if address.startswith("unix:"):
        return [address]
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=1)
    except OSError:
        return [address]
    hosts = sorted({entry[4][0] for entry in found})
    return [f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}" for host in hosts]
