"""Stays registered with every master, however many a name stands for."""

import asyncio
from collections.abc import Sequence

import structlog

from shared.tasks import TaskScope
from shared.wire.membership import Membership, resolve

log = structlog.get_logger()


async def keep_joined(
    membership: Membership, masters: Sequence[str], scope: TaskScope, *, period_seconds: float
) -> None:
    """Join every address that ``masters`` resolve to, looking again each period."""
    joined: dict[str, asyncio.Task[None]] = {}
    while True:
        addresses = {each for master in masters for each in await resolve(master)}
        for gone in joined.keys() - addresses:
            joined.pop(gone).cancel()
        for new in addresses - joined.keys():
            joined[new] = scope.spawn(membership.keep_joined(new), name=f"member of {new}")
        await asyncio.sleep(period_seconds)
