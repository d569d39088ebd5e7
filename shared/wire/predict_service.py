"""``MSService``, the original's contract, as every service that clients call serves it."""

import itertools
import uuid
from collections.abc import Mapping

from protos.ms_service import ms_service_pb2

SERVICE_NAME: str = ms_service_pb2.DESCRIPTOR.services_by_name["MSService"].full_name
PREDICT_PATH = f"/{SERVICE_NAME}/Predict"
REQUEST_ID_KEY = "x-request-id"
VERSION_LABEL_KEY = "x-version-label"
"""Names a version by a label of the master; beside the message, whose fields are fixed."""
_MAX_REQUEST_ID_LENGTH = 128


class RequestIds:
    """What logs call a request: the client's own id, or one that this process makes."""

    def __init__(self) -> None:
        # Numbers of this process; something random for each request would cost more.
        self._process = uuid.uuid4().hex[:8]
        self._numbers = itertools.count(1)

    def of(self, metadata: Mapping[str, str]) -> str:
        """The id of one request."""
        given = metadata.get(REQUEST_ID_KEY, "")[:_MAX_REQUEST_ID_LENGTH]
        return given or f"{self._process}-{next(self._numbers):x}"
