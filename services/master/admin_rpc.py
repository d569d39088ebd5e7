"""The operators' door: ``Repository`` and ``Labels`` over gRPC."""

from collections.abc import Sequence

from google.protobuf.message import DecodeError

from protos.serving.v1 import labels_pb2 as pb
from services.master.admin import Admin
from services.master.labels import Label, LabelStatus
from shared.errors import InvalidRequest
from shared.repository import Inventory
from shared.wire.interface import CallContext, Routes
from shared.wire.repository_codec import (
    INDEX_PATH,
    LOAD_PATH,
    UNLOAD_PATH,
    read_index_request,
    read_order,
    write_inventory,
)
from shared.wire.repository_codec import SERVICE_NAME as REPOSITORY_SERVICE_NAME

LABELS_SERVICE_NAME: str = pb.DESCRIPTOR.services_by_name["Labels"].full_name
SERVICE_NAMES = (REPOSITORY_SERVICE_NAME, LABELS_SERVICE_NAME)


class AdminDoor:
    """Reads orders and writes what came of them."""

    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    @property
    def routes(self) -> Routes:
        """Serve these to operators."""
        return Routes(
            unary={
                INDEX_PATH: self._index,
                LOAD_PATH: self._load,
                UNLOAD_PATH: self._unload,
                f"/{LABELS_SERVICE_NAME}/Get": self._get_labels,
                f"/{LABELS_SERVICE_NAME}/Set": self._set_labels,
            }
        )

    async def _index(self, context: CallContext, message: bytes) -> bytes:
        del context
        return _written(await self._admin.index(read_index_request(message)))

    async def _load(self, context: CallContext, message: bytes) -> bytes:
        return _written(await self._admin.load(read_order(message), context.deadline))

    async def _unload(self, context: CallContext, message: bytes) -> bytes:
        return _written(await self._admin.unload(read_order(message), context.deadline))

    async def _get_labels(self, context: CallContext, message: bytes) -> bytes:
        del context
        try:
            request = pb.GetLabelsRequest.FromString(message)
        except DecodeError as failure:
            raise InvalidRequest("not a GetLabelsRequest") from failure
        return _labels(self._admin.labels(request.servable))

    async def _set_labels(self, context: CallContext, message: bytes) -> bytes:
        del context
        try:
            request = pb.SetLabelsRequest.FromString(message)
        except DecodeError as failure:
            raise InvalidRequest("not a SetLabelsRequest") from failure
        labels = [Label(each.name, each.version, each.weight) for each in request.labels]
        return _labels(self._admin.set_labels(request.servable, labels))


def _written(inventory: Inventory) -> bytes:
    return write_inventory(inventory.versions, inventory.silent)


def _labels(statuses: Sequence[LabelStatus]) -> bytes:
    return pb.LabelsReply(
        labels=[
            pb.Label(name=label.name, version=label.version, weight=label.weight, served=served)
            for label, served in statuses
        ]
    ).SerializeToString()
