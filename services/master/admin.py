"""What operators may ask of a master: load and unload versions at its workers, set labels."""

import asyncio
from collections.abc import Sequence

import structlog

from services.master.labels import Label, LabelStatus, check_labels
from services.master.router import Router
from services.master.workers import Workers
from shared.deadline import Deadline
from shared.errors import LoadFailed, NotServed, ServingError
from shared.repository import Inventory, Order, VersionStatus
from shared.tasks import task_scope
from shared.wire.interface import Wire
from shared.wire.repository_codec import (
    INDEX_PATH,
    LOAD_PATH,
    UNLOAD_PATH,
    read_inventory,
    write_index_request,
    write_order,
)

log = structlog.get_logger()

_INDEX_SECONDS = 5.0

_Answers = dict[str, Inventory | ServingError]


class Admin:
    """Passes orders on to the workers that have the servable; keeps the labels itself."""

    def __init__(
        self, wire: Wire, workers: Workers, router: Router, *, timeout_seconds: float
    ) -> None:
        self._wire = wire
        self._workers = workers
        self._router = router
        self._timeout_seconds = timeout_seconds
        self._now = asyncio.get_running_loop().time

    async def index(self, servable: str = "") -> Inventory:
        """Every version at every worker, or those of one servable."""
        deadline = Deadline.after(_INDEX_SECONDS, now=self._now())
        answers = await self._ask(
            self._workers.addresses, INDEX_PATH, write_index_request(servable), deadline
        )
        return _inventory(answers)

    async def load(self, order: Order, deadline: Deadline | None = None) -> Inventory:
        """Load a version, or (0) what the workers' policies choose, at all that have it.

        Raises NotServed when none has it, and LoadFailed when it cannot be loaded somewhere;
        those workers go on serving what they served.
        """
        return await self._order(LOAD_PATH, order, deadline)

    async def unload(self, order: Order, deadline: Deadline | None = None) -> Inventory:
        """Unload a version (0: all of them) at all workers that have it; raises NotServed."""
        return await self._order(UNLOAD_PATH, order, deadline)

    async def _order(self, path: str, order: Order, deadline: Deadline | None) -> Inventory:
        deadline = deadline or Deadline.after(self._timeout_seconds, now=self._now())
        found = await self.index(order.servable)
        holders = {
            each.worker for each in found.versions if order.version in (0, each.what.version)
        }
        if not holders:
            silent = f", workers that did not answer: {len(found.silent)}" if found.silent else ""
            raise NotServed(f"{order} is not in the repository of any worker{silent}")
        log.info("order", action=path.rpartition("/")[-1], what=str(order), workers=len(holders))
        answers = await self._ask(sorted(holders), path, write_order(order), deadline)
        _raise_failures(answers)
        return Inventory(_inventory(answers).versions, found.silent)

    async def _ask(
        self, addresses: Sequence[str], path: str, message: bytes, deadline: Deadline
    ) -> _Answers:
        async def ask(address: str) -> None:
            try:
                async with self._wire.connect(address) as channel:
                    reply = await channel.call(path, message, deadline=deadline)
                answers[address] = read_inventory(reply)
            except ServingError as failure:
                answers[address] = failure

        answers: _Answers = {}
        async with task_scope() as scope:
            tasks = [scope.spawn(ask(each), name=f"{path} at {each}") for each in addresses]
            await asyncio.gather(*tasks)
        return {address: answers[address] for address in addresses}

    def labels(self, servable: str) -> list[LabelStatus]:
        """The labels of a servable; NotServed when it has none and no worker ever offered it."""
        labels = self._router.labels(servable)
        if not labels:
            self._check_known(servable)
        return [
            LabelStatus(label, self._router.is_served(servable, label.version)) for label in labels
        ]

    def set_labels(self, servable: str, labels: Sequence[Label]) -> list[LabelStatus]:
        """Replace the labels of a servable for all requests that come from now on.

        Raises NotServed for a servable that no worker ever offered, and InvalidRequest.
        """
        self._check_known(servable)
        self._router.set_labels(servable, check_labels(servable, labels))
        log.info("labels", servable=servable, labels=[str(label) for label in labels])
        return self.labels(servable)

    def _check_known(self, servable: str) -> None:
        if servable not in self._router.servables():
            raise NotServed(f"servable '{servable}' is not available")


def _inventory(answers: _Answers) -> Inventory:
    versions = [
        VersionStatus(each.what, each.state, each.detail, address)
        for address, answer in answers.items()
        if isinstance(answer, Inventory)
        for each in answer.versions
    ]
    silent = [address for address, each in answers.items() if isinstance(each, ServingError)]
    return Inventory(versions, silent)


def _raise_failures(answers: _Answers) -> None:
    failures = {
        address: answer for address, answer in answers.items() if isinstance(answer, ServingError)
    }
    if not failures:
        return
    gravest = next(
        (each for each in failures.values() if isinstance(each, LoadFailed)),
        next(iter(failures.values())),
    )
    told = [f"worker {address}: {failure.message}" for address, failure in failures.items()]
    succeeded = len(answers) - len(failures)
    if succeeded:
        told.append(f"it is done at {succeeded} other workers")
    raise type(gravest)("; ".join(told))
