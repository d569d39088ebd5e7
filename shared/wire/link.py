"""A registrar's connection to one member: an exchange, made again when it breaks."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence

import structlog

from shared.deadline import Deadline
from shared.errors import PeerLost, ServingError, Unavailable
from shared.wire.exchange import Exchange, open_exchange
from shared.wire.interface import Wire

log = structlog.get_logger()

_RETRY_SECONDS = 0.2


class Link:
    """Carries calls to one member for as long as ``keep`` runs.

    ``addresses`` are tried in their order; empty ones are skipped. ``shares_memory``: see
    ``open_exchange``.
    """

    def __init__(
        self,
        wire: Wire,
        addresses: Sequence[str],
        path: str,
        *,
        peer: str,
        max_outstanding: int,
        lost: Callable[[str], PeerLost],
        changed: Callable[[], None],
        shares_memory: bool = False,
    ) -> None:
        self._wire = wire
        self._addresses = [address for address in addresses if address]
        self._path = path
        self._peer = peer
        self._max_outstanding = max_outstanding
        self._lost = lost
        self._changed = changed
        self._shares_memory = shares_memory
        self._exchange: Exchange | None = None
        self.address = ""
        """Where it is connected; the latest one when it is not."""

    @property
    def connected(self) -> bool:
        """Whether calls can be sent."""
        return self._exchange is not None

    @property
    def outstanding(self) -> int:
        """Calls in the member's hands."""
        return self._exchange.outstanding if self._exchange is not None else 0

    def call(
        self,
        payload: bytes,
        *,
        deadline: Deadline | None = None,
        head: bytes = b"",
        request_id: str = "",
        subject: str = "this request",
    ) -> Awaitable[bytes]:
        """See ``Exchange.call``; Unavailable while there is no connection."""
        if self._exchange is None:
            raise Unavailable(f"{self._peer} is not connected")
        return self._exchange.call(
            payload, deadline=deadline, head=head, request_id=request_id, subject=subject
        )

    def end(self) -> None:
        """The member left: fail the calls in its hands at once."""
        if self._exchange is not None:
            self._exchange.end("left")

    async def keep(self) -> None:
        """Stay connected until cancelled; ``changed`` hears of every connection and loss."""
        said = ""
        for address in itertools.cycle(self._addresses):
            try:
                await self._connect(address)
            except ServingError as failure:
                if failure.message != said:
                    said = failure.message
                    log.info("link lost", peer=self._peer, reason=said)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _connect(self, address: str) -> None:
        async with (
            self._wire.connect(address) as channel,
            open_exchange(
                channel,
                self._path,
                peer=self._peer,
                max_outstanding=self._max_outstanding,
                lost=self._lost,
                shares_memory=self._shares_memory,
            ) as exchange,
        ):
            self._exchange, self.address = exchange, address
            self._changed()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._exchange = None
                self._changed()
